"""Real points that a feature keeps from earlier batches."""

import io
from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.feature.encoder import Encoder
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.ranks import mean_over_ranks

WORLD = 2
OBJECTIVES = ["energy", "sinkhorn", "relativistic"]
CRITIC = ("critic=mlp", f"critic.shape=[{parts.LATENT_DIM}]")  # of one layer of what an encoder sees
BY_CLASS = ("feature.bank=12", "feature=by_class")
CASES = [
    (name, *words)
    for name in OBJECTIVES
    for words in (
        ["feature.bank=12"],
        ["feature.bank=6"],
        ["feature.bank=12", "feature=encoder", *CRITIC],
        BY_CLASS,
    )
]


def row(n: int, first: int) -> Tensor:
    """Samples ``[n, 1]`` that are numbered on from ``first``."""
    return torch.arange(first, first + n, dtype=torch.float32)[:, None]


def numbers() -> Pair:
    """A pair whose samples are single numbers."""
    return Pair(parts.LinearGenerator(1, (1,)), parts.LinearRefiner((1,), 1), Pixels(["draft"]))


def seen(feature: Feature, pair: Pair, clean: Tensor) -> list[float]:
    """The real points that are compared with when ``clean`` is the batch."""
    draft = Draft(torch.zeros(2, 1), pair.generator(torch.zeros(2, 1)))
    (found,) = feature(pair, Batch(clean, None), draft)
    assert found.generated.shape == (2, 1)
    assert not found.real.requires_grad
    return found.real[:, 0].tolist()


@pytest.mark.parametrize("bank", [1, 2, 3, 7, 100])
def test_bank_is_the_last_real_points_of_earlier_batches(bank: int) -> None:
    feature, pair, earlier = Identity(bank), numbers(), []
    for step in range(5):
        clean = row(3, 3 * step)
        assert seen(feature, pair, clean) == [*clean[:, 0].tolist(), *earlier[-bank:]]
        earlier += clean[:, 0].tolist()
    assert feature.kept[0][:, 0].tolist() == earlier[-bank:]
    assert not feature.kept[0].requires_grad
    assert feature.kept[0].untyped_storage().nbytes() == 4 * min(bank, 15)


def test_without_a_bank_nothing_is_kept() -> None:
    feature = Identity()
    assert seen(feature, numbers(), row(3, 0)) == [0, 1, 2]
    assert not feature.kept and not feature.get_extra_state()


def test_each_stage_and_layer_has_its_own_bank() -> None:
    torch.manual_seed(0)
    pair = parts.pair_in_pixels()
    feature = Encoder(bank=20)
    first, second = (parts.situation(pair) for _ in range(2))
    feature(pair, *first)
    found = feature(pair, *second)
    assert len(found) == len(feature.kept) == 2
    raw = torch.cat([pair.refiner.encode(batch.clean).mean for batch, _ in (second, first)])
    expected = raw / raw.square().sum(1).mean().sqrt()  # in the units of this step, all of them
    torch.testing.assert_close(found[0].real, expected)


def test_bank_survives_in_a_file_that_holds_nothing_but_tensors() -> None:
    pair, whole, first, second = numbers(), Identity(5), Identity(5), Identity(5)
    for step in range(3):
        seen(whole, pair, row(3, 3 * step))
        seen(first, pair, row(3, 3 * step))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for step in range(3, 5):
        assert seen(second, pair, row(3, 3 * step)) == seen(whole, pair, row(3, 3 * step))
    assert torch.equal(second.kept[0], whole.kept[0])


def test_bank_follows_the_type_and_the_device_of_the_points() -> None:
    """As when a checkpoint, which is read on the CPU, goes on elsewhere; ``meta`` stands for elsewhere."""
    for target in (torch.float64, torch.float16, "meta"):
        feature, pair = Identity(5), numbers()
        seen(feature, pair, row(3, 0))
        pair.to(target)
        clean = row(3, 3).to(target)
        (found,) = feature(pair, Batch(clean, None), Draft(clean, pair.generator(clean)))
        assert found.real.dtype == clean.dtype and found.real.device == clean.device


def slope(case: tuple[str, ...], rows: slice) -> Tensor:
    """The generator's gradient in the last of three steps, from some rows of batches of eight."""
    torch.manual_seed(0)
    pair = parts.pair_in_latents().double()
    (objective,) = parts.build("objective", case[0], pair, *case[1:]).values()
    objective.double()
    for _ in range(3):
        noise = torch.randn(8, parts.LATENT_DIM, dtype=torch.float64)[rows]
        clean = (torch.rand(8, *parts.IMAGE, dtype=torch.float64) * 2 - 1)[rows]
        batch = Batch(clean, torch.randint(parts.CLASSES, (8,))[rows])
        term = objective(pair, batch, Draft(noise, pair.generator(noise)))["generator"]
    slopes = torch.autograd.grad(term, list(pair.generator.parameters()))
    return torch.cat([s.flatten() for s in slopes])


def real_points(bank: int, rows: slice) -> Tensor:
    feature, pair = Identity(bank), numbers()
    return torch.tensor([seen(feature, pair, row(8, 8 * step)[rows]) for step in range(4)][-1])


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD)
    rows = slice(rank, None, WORLD)
    facts: dict[object, Tensor] = {case: mean_over_ranks(slope(case, rows)) for case in CASES}
    facts |= {bank: real_points(bank, rows) for bank in (4, 6, 7, 20, 100)}
    torch.save(facts, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[object, Tensor]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_a_bank_learn_what_one_does(
    case: tuple[str, ...], facts: list[dict[object, Tensor]]
) -> None:
    whole = slope(case, slice(None))
    torch.testing.assert_close(facts[0][case], whole, rtol=1e-9, atol=1e-12)
    without = slope((case[0], "feature.bank=0", *case[2:]), slice(None))
    assert (whole - without).norm() > 1e-5 * whole.norm(), "the bank has a say"


@pytest.mark.parametrize("bank", [4, 6, 20, 100])
def test_two_processes_share_out_the_bank_of_one(bank: int, facts: list[dict[object, Tensor]]) -> None:
    joint = torch.cat([fact[bank] for fact in facts])
    assert sorted(joint.tolist()) == sorted(real_points(bank, slice(None)).tolist())
    assert facts[0][bank].shape == facts[1][bank].shape


def test_what_cannot_be_shared_out_is_left_out(facts: list[dict[object, Tensor]]) -> None:
    joint = torch.cat([fact[7] for fact in facts]).tolist()
    whole = real_points(7, slice(None)).tolist()
    assert len(joint) == len(whole) - 1 and set(joint) < set(whole)
