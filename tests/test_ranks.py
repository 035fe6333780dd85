"""Two processes learn what one does from the same batch."""

from pathlib import Path

import parts
import pytest
import torch
from lightning import Trainer
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.adapt.fixed import Fixed
from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.ranks import gather, gather_live, mean_over_ranks, own_rows, strided_rows
from stable_diffusion_lab.training.leaves import leaves
from stable_diffusion_lab.training.optimizer import PlayerAdam
from stable_diffusion_lab.training.schedule import Schedule
from stable_diffusion_lab.training.system import System

# They draw noise of their own on each rank, which agrees with one process on average only.
NOISY = ["imle", "reverse_kl", "score_difference"]
NOISELESS = [name for name in parts.objectives() if name not in ("none", *NOISY)]


def slope(name: str, rows: slice) -> Tensor:
    """The gradient for the generator from some rows of a batch of eight."""
    torch.manual_seed(0)
    pair = parts.pair_in_latents()
    (objective,) = parts.build("objective", name, pair).values()
    noise = torch.randn(8, parts.LATENT_DIM)[rows]
    clean = (torch.rand(8, *parts.IMAGE) * 2 - 1)[rows]
    term = objective(pair, Batch(clean, None), Draft(noise, pair.generator(noise)))["generator"]
    slopes = torch.autograd.grad(term, list(pair.generator.parameters()))
    return torch.cat([s.flatten() for s in slopes])


def weights(rows: slice) -> Tensor:
    code = torch.arange(16.0).view(8, 2)[rows].requires_grad_()
    adapt = GradientBalance({})
    adapt({"a/generator": code.square().sum(), "b/generator": code.sum()}, Draft(code.detach(), code))
    return torch.stack(list(adapt.last.values()))


def whole_loss(everyone: Tensor) -> Tensor:
    """Not a sum over rows: each row's share depends on all the others."""
    return torch.cdist(everyone, everyone).square().sum() * everyone.prod(dim=0).sum()


def shared_slope(rows: slice) -> Tensor:
    """The gradient for one weight of a loss that is computed from the rows of all ranks."""
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    x = torch.linspace(0.5, 1.5, 12, dtype=torch.float64).view(6, 2)[rows]
    (slope,) = torch.autograd.grad(whole_loss(gather_live(x * weight)), weight)
    return slope


def live_rows() -> dict[str, Tensor]:
    """What becomes of three rows of this rank in a plain sum over those of all."""
    x = torch.full((3, 2), float(dist.get_rank()), requires_grad=True)
    everyone = gather_live(x)
    (slope,) = torch.autograd.grad(everyone.sum(), x)
    return {"live": everyone.detach(), "live slope": slope}


class Fitful(Objective):
    """The encoder learns in every batch, the decoder in every second one of the later half."""

    batch = 0

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        self.batch += 1
        terms = {"refiner/often": (model.refiner.encode(batch.clean).mean - 1).square().mean()}
        if len(draft.code) and self.batch % 2:
            terms["refiner/seldom"] = (
                (model.refiner.decode(draft.code.detach()) - batch.clean).square().mean()
            )
        return terms


def fitful_weights(folder: str, world: int) -> Tensor:
    """Of a refiner that has learnt from batches of eight of all processes together."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, *parts.IMAGE), dtype=torch.uint8)
    schedule = Schedule(16, head_start=0.5, refiner_share=1, warmup=0)
    pair, adam = parts.pair_in_latents(), PlayerAdam(refiner=1e-2)
    system = System(pair, {"fitful": Fitful()}, {}, Fixed({}), schedule, adam, 0.9, 0)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    devices = {"accelerator": "cpu", "devices": world, "strategy": "ddp" if world > 1 else "auto"}
    trainer = Trainer(max_steps=16, max_epochs=1, logger=False, default_root_dir=folder, **quiet, **devices)
    batches = Batches(Split(images, None), 8 // world, 0, 16, trainer.global_rank, world)
    trainer.fit(system, batches)
    return torch.cat([weight.detach().flatten() for weight in pair.refiner.parameters()])


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    rows = slice(rank, None, 2)
    facts = {name: mean_over_ranks(slope(name, rows)) for name in NOISELESS}
    x = torch.full((3, 2), float(rank))
    everyone = gather(x)
    facts["own rows"] = (own_rows(everyone, 3) == x).all()
    facts["everyone"] = everyone
    facts["weights"] = weights(rows)
    facts |= live_rows()
    facts["shared slope"] = mean_over_ranks(shared_slope(rows))
    facts |= {f"share of {n}": strided_rows(torch.arange(n)) for n in (0, 1, 6, 7)}
    with pytest.MonkeyPatch.context() as patch:  # as a launcher says it to Lightning
        for name, value in {"LOCAL_RANK": rank, "MASTER_ADDR": "localhost", "MASTER_PORT": 0}.items():
            patch.setenv(name, str(value))
        facts["fitful"] = fitful_weights(folder, world=2)
    torch.save(facts, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", NOISELESS)
def test_averaged_gradient_is_that_of_the_whole_batch(name: str, facts: list[dict[str, Tensor]]) -> None:
    torch.testing.assert_close(facts[0][name], slope(name, slice(None)), rtol=1e-4, atol=1e-6)


def test_every_rank_sees_all_rows_and_knows_its_own(facts: list[dict[str, Tensor]]) -> None:
    for fact in facts:
        assert fact["everyone"][:, 0].tolist() == [0, 0, 0, 1, 1, 1]
        assert fact["own rows"]


def test_live_rows_are_those_of_all_ranks_and_carry_the_gradient_of_their_own(
    facts: list[dict[str, Tensor]],
) -> None:
    for fact in facts:
        assert torch.equal(fact["live"], fact["everyone"])
        assert torch.equal(fact["live slope"], torch.full((3, 2), 2.0)), "times the number of ranks"


def test_averaged_gradient_of_live_rows_is_that_of_the_whole(facts: list[dict[str, Tensor]]) -> None:
    for fact in facts:
        torch.testing.assert_close(fact["shared slope"], shared_slope(slice(None)))


def test_rows_that_all_hold_are_dealt_out_in_equal_shares(facts: list[dict[str, Tensor]]) -> None:
    shares = {n: [fact[f"share of {n}"].tolist() for fact in facts] for n in (0, 1, 6, 7)}
    assert shares == {0: [[], []], 1: [[], []], 6: [[0, 2, 4], [1, 3, 5]], 7: [[0, 2, 4], [1, 3, 5]]}


def test_all_ranks_weigh_alike(facts: list[dict[str, Tensor]]) -> None:
    assert torch.equal(facts[0]["weights"], facts[1]["weights"])
    assert not torch.equal(weights(slice(0, None, 2)), weights(slice(1, None, 2)))


def test_what_no_term_reaches_in_a_batch_stays_as_it_is(
    facts: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    for fact in facts:
        torch.testing.assert_close(
            fact["fitful"], fitful_weights(str(tmp_path), world=1), rtol=1e-4, atol=1e-5
        )


def test_one_process_is_its_own_world() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(gather(x), x)
    assert torch.equal(own_rows(x, 3), x)
    assert not gather(x).requires_grad
    assert gather_live(x) is x
    assert strided_rows(x) is x
    assert not mean_over_ranks(x).requires_grad


def test_leaves_are_what_has_a_gradient_afterwards() -> None:
    near, far, constant = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True), torch.ones(2)
    result = (near * constant).sum() + far.detach().sum()
    assert leaves(result) == {near}
    assert leaves(constant) == set()
