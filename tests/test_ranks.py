"""Two processes learn what one does from the same batch."""

from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.ranks import gather, gather_live, mean_over_ranks, own_rows, strided_rows

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


def test_one_process_is_its_own_world() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(gather(x), x)
    assert torch.equal(own_rows(x, 3), x)
    assert not gather(x).requires_grad
    assert gather_live(x) is x
    assert strided_rows(x) is x
    assert not mean_over_ranks(x).requires_grad
