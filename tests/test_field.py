"""Objectives that move samples along a field: where it points, where it vanishes, what it ignores."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stable_diffusion_lab.layer.pairwise import Targets, typical_distance
from stable_diffusion_lab.layer.rows import Blocks, row_blocks
from stable_diffusion_lab.objective.drift import Drift, affinity, difference
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.field import VectorField
from stable_diffusion_lab.objective.kernel.laplace import Laplace
from stable_diffusion_lab.objective.sharp_drift import SharpDrift
from stable_diffusion_lab.objective.sinkhorn import Sinkhorn
from stable_diffusion_lab.objective.sinkhorn import plan as plan_of_blocks

SAMPLES, LAPLACE = Identity(), Laplace()
FIELDS = [Drift(SAMPLES, LAPLACE), Sinkhorn(SAMPLES), SharpDrift(SAMPLES, LAPLACE)]
DTYPES = [torch.float32, torch.float64]


def cloud(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plan(cost: Tensor, temperature: float, iterations: int) -> Tensor:
    logits = Blocks(row_blocks(cost, cost.shape[1]), (-cost / temperature).log_softmax(1).__getitem__)
    return torch.cat(list(plan_of_blocks(logits, iterations)))


def direction(objective: VectorField, x: Tensor, y: Tensor) -> Tensor:
    return objective.step(x, y)[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_distances_are_those_of_subtraction_near_zero_and_far_from_the_origin(dtype: torch.dtype) -> None:
    x = (cloud(30, 50) + 10).to(dtype)
    y = torch.cat([x[:10] + 1e-3, (cloud(10, 50, seed=1) + 10).to(dtype)])
    exact = (x[:, None].double() - y[None].double()).norm(dim=2)
    torch.testing.assert_close(Targets(y).distance(x).double(), exact, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(Targets(y).squared_distance(x).double(), exact.square(), rtol=1e-5, atol=1e-8)
    assert (Targets(x).distance(x).diagonal() < 1e-5 * exact.mean()).all()
    torch.testing.assert_close(
        typical_distance(x, y).double(), exact.square().mean().sqrt(), rtol=1e-4, atol=0
    )


def test_distance_has_a_gradient_even_between_equal_points() -> None:
    x = cloud(4).requires_grad_()
    assert torch.autograd.gradcheck(Targets(cloud(5, seed=1)).distance, x)
    (slope,) = torch.autograd.grad(Targets(x).distance(x).sum(), x)
    assert slope.isfinite().all()


@pytest.mark.parametrize("objective", FIELDS)
def test_gradient_is_the_regression_on_the_displaced_sample(objective: VectorField) -> None:
    x, y = cloud(6).requires_grad_(), cloud(9, seed=1) + 1
    (slope,) = torch.autograd.grad(objective.follow(x, y), x)
    step, _, unit = objective.step(x.detach(), y)
    torch.testing.assert_close(slope, -2 * step / (unit * x.numel()))


@pytest.mark.parametrize("objective", FIELDS)
def test_value_is_how_far_the_samples_still_want_to_move(objective: VectorField) -> None:
    y = cloud(400, seed=1)
    sizes = [objective.follow(cloud(300) + shift, y).item() for shift in (0.0, 0.5, 2.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.5 * sizes[2]


@pytest.mark.parametrize("objective", FIELDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_field_is_finite_on_extreme_sets(objective: VectorField, dtype: torch.dtype) -> None:
    x, y = cloud(5).to(dtype), cloud(8, seed=1).to(dtype)
    outlier = torch.cat([x, torch.full((1, 3), 1e4, dtype=dtype)])
    sets = [(outlier, y), (y, outlier), (x[:1], y), (x, y[:1]), (x * 0, y * 0), (x * 1e-12, y * 1e-12)]
    for generated, real in sets:
        assert objective.follow(generated, real).isfinite()
        assert direction(objective, generated, real).isfinite().all()


@pytest.mark.parametrize("objective", FIELDS)
def test_field_ignores_units_origin_and_turns_with_the_axes(objective: VectorField) -> None:
    x, y = cloud(7), cloud(9, seed=1) + 1
    rotation, _ = torch.linalg.qr(cloud(3, 3, seed=2))
    step = direction(objective, x, y)
    torch.testing.assert_close(direction(objective, 5 * x, 5 * y), step)
    torch.testing.assert_close(direction(objective, x + 40, y + 40), step)
    torch.testing.assert_close(direction(objective, x @ rotation, y @ rotation), step @ rotation)


@pytest.mark.parametrize("objective", FIELDS)
def test_field_ignores_the_order_of_samples(objective: VectorField) -> None:
    x, y = cloud(7), cloud(9, seed=1)
    order = torch.randperm(7)
    torch.testing.assert_close(direction(objective, x[order], y.flip(0)), direction(objective, x, y)[order])


@pytest.mark.parametrize("objective", FIELDS)
def test_field_points_from_the_drafts_to_the_data(objective: VectorField) -> None:
    x, y = cloud(200), cloud(300, seed=1) + torch.tensor([3.0, 0, 0], dtype=torch.float64)
    mean = direction(objective, x, y).mean(0)
    assert mean[0] > 5 * mean[1:].abs().max()


def test_sinkhorn_field_is_zero_between_equal_sets() -> None:
    x = cloud(20)
    torch.testing.assert_close(Sinkhorn(SAMPLES).field(x, x), torch.zeros(1, 20, 3, dtype=torch.float64))
    assert direction(Sinkhorn(SAMPLES), x, x[torch.randperm(20)]).abs().max() < 1e-3


def test_sinkhorn_field_has_no_bias_where_both_distributions_are_equal() -> None:
    """Averaged over batches a point is at rest, in whatever part of the distribution it lies."""
    place = torch.tensor([[1.5, 0.0, -0.5]], dtype=torch.float64)
    fields = [
        Sinkhorn(SAMPLES, iterations=50).field(
            torch.cat([place, cloud(63, seed=2 * i)]), cloud(64, seed=2 * i + 1)
        )
        for i in range(400)
    ]
    moves = torch.stack([field[0, 0] for field in fields])
    error = moves.std(0) / len(moves) ** 0.5
    assert (moves.mean(0).abs() < 4 * error).all()
    assert (error < 0.05).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_plan_has_both_marginals(dtype: torch.dtype) -> None:
    cost = Targets(cloud(30, seed=1)).squared_distance(cloud(12)).to(dtype)
    p = plan(cost, 0.5, 2000)
    torch.testing.assert_close(p.sum(1), torch.ones(12, dtype=dtype))
    torch.testing.assert_close(p.sum(0), torch.full((30,), 12 / 30, dtype=dtype), rtol=1e-4, atol=0)


@pytest.mark.parametrize("iterations", [1, 2, 10])
def test_plan_equals_sinkhorn_on_logarithms(iterations: int) -> None:
    cost = Targets(cloud(20, seed=1)).squared_distance(cloud(12))
    log_p = (-cost / 0.3).log_softmax(1)
    for _ in range(iterations):
        log_p = log_p.log_softmax(0).log_softmax(1)
    torch.testing.assert_close(plan(cost, 0.3, iterations), log_p.exp())


def test_cold_plan_is_the_optimal_assignment() -> None:
    cost = Targets(cloud(12, seed=1)).squared_distance(cloud(12))
    rows, columns = linear_sum_assignment(cost.numpy())
    p = plan(cost, 0.01, 3000)
    torch.testing.assert_close(p[rows, columns], torch.ones(12, dtype=torch.float64), rtol=0, atol=0.01)


def test_affinity_is_normalised_by_rows_and_columns() -> None:
    logits = cloud(5, 8)
    e = logits.exp()
    expected = e / (e.sum(1, keepdim=True) * e.sum(0)).sqrt()
    torch.testing.assert_close(affinity(logits, logits.logsumexp(0)), expected)


def test_drift_flips_its_sign_when_the_sets_swap_roles() -> None:
    x, y, near_x, near_y = cloud(5), cloud(8, seed=1), cloud(6, 5).exp(), cloud(6, 8).exp()
    there, back = difference(near_y, near_x, y, x), difference(near_x, near_y, x, y)
    torch.testing.assert_close(there, -back)


def test_drift_is_the_double_sum_of_differences() -> None:
    x, y, near_x, near_y = cloud(5), cloud(8, seed=1), cloud(6, 5).exp(), cloud(6, 8).exp()
    pairs = near_y[:, :, None, None] * near_x[:, None, :, None] * (y[None, :, None] - x[None, None])
    torch.testing.assert_close(difference(near_y, near_x, y, x), pairs.sum(dim=(1, 2)))


def test_drift_has_no_preferred_direction_between_equal_distributions() -> None:
    steps = [
        direction(Drift(SAMPLES, LAPLACE), cloud(100, seed=s), cloud(100, seed=1000 + s)).mean(0)
        for s in range(40)
    ]
    means = torch.stack(steps)
    assert (means.mean(0).abs() < 4 * means.std(0) / 40**0.5).all()


def test_drift_follows_its_definition_term_by_term() -> None:
    x, y, temperature = cloud(4), cloud(6, seed=1), 0.3
    t = torch.cat([x, y])
    d = torch.stack([torch.stack([(p - q).norm() for q in t]) for p in x])
    d = d / d.mean()
    e = (-(d - d.min()) / temperature).exp()
    e[range(4), range(4)] = 0  # a sample does not repel itself
    a = e / (e.sum(1, keepdim=True) * e.sum(0, keepdim=True)).sqrt()
    expected = torch.zeros_like(x)
    for i in range(4):
        attraction, repulsion = a[i, 4:].sum(), a[i, :4].sum()
        expected[i] += repulsion * sum(a[i, 4 + j] * y[j] for j in range(6))
        expected[i] -= attraction * sum(a[i, j] * x[j] for j in range(4))
    torch.testing.assert_close(Drift(SAMPLES, LAPLACE, [temperature]).field(x, y)[0], expected)


def test_each_temperature_has_the_same_say() -> None:
    x, y = cloud(7), cloud(9, seed=1)
    alone = [direction(Drift(SAMPLES, LAPLACE, [temperature]), x, y) for temperature in (0.2, 0.05)]
    assert all(step.square().mean() == pytest.approx(1) for step in alone)
    torch.testing.assert_close(direction(Drift(SAMPLES, LAPLACE, [0.2, 0.05]), x, y), sum(alone))
