"""Sliced optimal transport: exact on the line, along random lines, along the worst one."""

import math
from pathlib import Path

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.max_sliced_wasserstein import MaxSlicedWasserstein, ascend
from stable_diffusion_lab.objective.sliced_wasserstein import (
    SlicedWasserstein,
    random_directions,
    squared_wasserstein,
)
from stable_diffusion_lab.ranks import same_on_all_ranks

SAMPLES = Identity()
BOTH = [SlicedWasserstein(SAMPLES, 16), MaxSlicedWasserstein(SAMPLES, 16)]
SIZES = [(6, 6), (6, 4), (5, 8), (1, 7), (9, 1)]


def cloud(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quantiles(n: int) -> Tensor:
    """A standard normal sample ``[n, 1]`` without luck."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(levels)[:, None]


def value(objective: Comparing, x: Tensor, y: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return objective.terms(x, y)["generator"]


def cheapest(x: Tensor, y: Tensor) -> float:
    """Squared Wasserstein-2 distance of points on the line by assignment of equally many copies."""
    n, m = len(x), len(y)
    a, b = x.repeat_interleave(math.lcm(n, m) // n, 0), y.repeat_interleave(math.lcm(n, m) // m, 0)
    cost = (a - b.T).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    return cost[rows, columns].mean().item()


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_transport_on_the_line_is_the_cheapest_whatever_the_sizes(n: int, m: int) -> None:
    x, y = cloud(n, 4), 0.5 + 2 * cloud(m, 4, seed=1)
    expected = [cheapest(x[:, [i]], y[:, [i]]) for i in range(4)]
    assert squared_wasserstein(x, y).tolist() == pytest.approx(expected)
    torch.testing.assert_close(squared_wasserstein(y, x), squared_wasserstein(x, y))


def test_repeating_every_point_changes_nothing() -> None:
    x, y = cloud(5, 2), cloud(8, 2, seed=1)
    repeated = squared_wasserstein(x.repeat(3, 1), y.repeat(2, 1))
    torch.testing.assert_close(repeated, squared_wasserstein(x, y))
    torch.testing.assert_close(squared_wasserstein(x, x.repeat(2, 1).flip(0)), torch.zeros(2).double())


@pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_transport_between_gaussians_on_the_line(m: float, s: float) -> None:
    found = squared_wasserstein(quantiles(2000), m + s * quantiles(1500))
    assert found.item() == pytest.approx(m**2 + (1 - s) ** 2, rel=0.01, abs=1e-3)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_transport_has_the_gradient_of_its_value(n: int, m: int) -> None:
    x, y = cloud(n, 2).requires_grad_(), cloud(m, 2, seed=1)
    assert torch.autograd.gradcheck(lambda points: squared_wasserstein(points, y), x)


def test_directions_are_uniform_on_the_sphere() -> None:
    torch.manual_seed(0)
    lines = random_directions(cloud(1), 5000)
    torch.testing.assert_close(lines.norm(dim=0), torch.ones(5000).double())
    assert lines.mean(1).abs().max() < 4 / (3 * 5000) ** 0.5
    torch.testing.assert_close(lines @ lines.T / 5000, torch.eye(3).double() / 3, rtol=0, atol=0.02)


def test_sliced_distance_of_shifted_sets_is_the_share_of_each_direction() -> None:
    """Along theta a shift by v costs (theta v)^2: |v|^2 / D on average, |v|^2 on the worst line."""
    x, v = cloud(50), torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64)
    assert value(SlicedWasserstein(SAMPLES, 20_000), x, x + v).item() == pytest.approx(3, rel=0.03)
    assert value(MaxSlicedWasserstein(SAMPLES), x, x + v).item() == pytest.approx(9, rel=1e-3)


def test_sliced_distances_of_two_gaussians() -> None:
    """Along theta both are Gaussian: W2^2 = (theta m)^2 + (s1(theta) - s2(theta))^2."""
    m, scale = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([1.0, 4.0], dtype=torch.float64)
    x, y = cloud(10_000, 2), m + cloud(10_000, 2, seed=1) * scale
    angle = torch.linspace(0, math.pi, 1000, dtype=torch.float64)
    lines = torch.stack([angle.cos(), angle.sin()])
    exact = (m @ lines).square() + (1 - (scale[:, None] * lines).norm(dim=0)).square()
    torch.manual_seed(0)
    found = SlicedWasserstein(SAMPLES, 300).terms(x, y)["generator"]
    assert found.item() == pytest.approx(exact.mean().item(), rel=0.1)
    assert value(MaxSlicedWasserstein(SAMPLES), x, y).item() == pytest.approx(exact.max().item(), rel=0.05)


def test_ascent_finds_the_one_direction_that_matters_among_many() -> None:
    """In 100 dimensions no random line comes near it."""
    torch.manual_seed(0)
    x, y = cloud(300, 100), cloud(400, 100, seed=1)
    y[:, 7] = 6 * y[:, 7]
    drawn = random_directions(x, 64)
    lines = ascend(x, y, drawn, 20)
    start, *_, end = squared_wasserstein(x @ lines, y @ lines).tolist()
    assert start == pytest.approx(squared_wasserstein(x @ drawn, y @ drawn).max().item())
    axis = squared_wasserstein(x[:, [7]], y[:, [7]]).item()
    assert start < 0.2 * axis
    assert end > 0.95 * axis
    assert value(MaxSlicedWasserstein(SAMPLES, 64, 20), x, y).item() == pytest.approx(end)
    torch.testing.assert_close(lines.norm(dim=0), torch.ones(21).double())


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_line_costs_at_least_the_mean(seed: int) -> None:
    x, y = cloud(20, 5, seed=seed), cloud(30, 5, seed=seed + 100) + 0.2
    mean, worst = (value(objective, x, y, seed) for objective in BOTH)
    assert worst >= mean


def test_more_ascent_never_finds_a_better_line_than_it_keeps() -> None:
    x, y = cloud(20, 8), cloud(30, 8, seed=1) + 0.2
    worst = [value(MaxSlicedWasserstein(SAMPLES, 16, steps), x, y).item() for steps in (1, 3, 10, 30)]
    assert worst == sorted(worst) and worst[0] < worst[-1]


@pytest.mark.parametrize("objective", BOTH)
def test_sliced_distances_have_the_gradient_of_their_value(objective: Comparing) -> None:
    """The worst line is a constant for the gradient, and yet it is that of the maximum (Danskin)."""
    fine = MaxSlicedWasserstein(SAMPLES, 16, 60) if isinstance(objective, MaxSlicedWasserstein) else objective
    x, y = cloud(6, 2).requires_grad_(), cloud(5, 2, seed=1) + 2
    assert torch.autograd.gradcheck(lambda points: value(fine, points, y), x, atol=1e-4)


@pytest.mark.parametrize("objective", BOTH)
def test_sliced_distances_ignore_order_and_origin_and_scale_with_the_square(objective: Comparing) -> None:
    x, y = cloud(7), cloud(9, seed=1) + 1
    expected = value(objective, x, y)
    torch.testing.assert_close(value(objective, x.flip(0), y[torch.randperm(9)]), expected)
    torch.testing.assert_close(value(objective, x + 10, y + 10), expected)
    torch.testing.assert_close(value(objective, 3 * x, 3 * y), 9 * expected)


@pytest.mark.parametrize("objective", BOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sliced_distances_are_finite_on_extreme_sets(objective: Comparing, dtype: torch.dtype) -> None:
    x, y = cloud(5).to(dtype), cloud(8, seed=1).to(dtype)
    far = torch.cat([x, torch.full((1, 3), 1e4, dtype=dtype)])
    for generated, real in [(far, y), (x[:1], y), (x, y[:1]), (x * 0, y * 0), (x, x)]:
        points = generated.clone().requires_grad_()
        term = value(objective, points, real)
        assert term.isfinite()
        assert torch.autograd.grad(term, points)[0].isfinite().all()


def learnt(objective: Comparing, rows: slice) -> tuple[Tensor, Tensor]:
    """Value and gradient for a shift of drafts, from some rows of eight drafts and eight data."""
    v = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    term = objective.terms(cloud(8)[rows] * 2 + v, cloud(8, seed=1)[rows] + 1)["generator"]
    return term.detach(), torch.autograd.grad(term, v)[0]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    facts = []
    for objective in BOTH:
        torch.manual_seed(rank)  # as in a run, where the ranks draw different noise
        facts.append(learnt(objective, slice(rank, None, 2)))
    torch.save((facts, same_on_all_ranks(torch.full((2,), rank + 5.0))), f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_ranks_that_draw_different_numbers_look_along_the_same_lines(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    (first, shared), (second, also) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert shared.tolist() == also.tolist() == [5, 5]
    for objective, (value_0, slope_0), (value_1, slope_1) in zip(BOTH, first, second, strict=True):
        torch.manual_seed(0)
        term, slope = learnt(objective, slice(None))
        torch.testing.assert_close((value_0, value_1), (term, term))
        torch.testing.assert_close((slope_0 + slope_1) / 2, slope)


def test_one_process_keeps_what_it_drew() -> None:
    x = torch.randn(3, requires_grad=True)
    assert torch.equal(same_on_all_ranks(x), x)
    assert not same_on_all_ranks(x).requires_grad
