"""Two processes learn what one does from the same batch."""

from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.ranks import gather, mean_over_ranks, own_rows

NOISELESS = [name for name in parts.members("objective") if name not in ("none", "evidence", "reverse_kl")]


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


def test_all_ranks_weigh_alike(facts: list[dict[str, Tensor]]) -> None:
    assert torch.equal(facts[0]["weights"], facts[1]["weights"])
    assert not torch.equal(weights(slice(0, None, 2)), weights(slice(1, None, 2)))


def test_one_process_is_its_own_world() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(gather(x), x)
    assert torch.equal(own_rows(x, 3), x)
    assert not gather(x).requires_grad
    assert not mean_over_ranks(x).requires_grad
