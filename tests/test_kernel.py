"""Kernels and what is built of them: their companions, sharp drift, maximum mean discrepancy."""

import math
from collections.abc import Callable

import parts
import pytest
import torch
from scipy.integrate import quad
from sklearn.gaussian_process import kernels as process
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.pairwise import Targets
from stable_diffusion_lab.objective.discrepancy import Discrepancy, Similarity
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.kernel.base import Kernel
from stable_diffusion_lab.objective.kernel.gaussian import Gaussian
from stable_diffusion_lab.objective.kernel.laplace import Laplace
from stable_diffusion_lab.objective.kernel.rational_quadratic import RationalQuadratic
from stable_diffusion_lab.objective.mmd import MMD, squared_mmd
from stable_diffusion_lab.objective.mmd_linear import MMDLinear, squared_mmd_linear
from stable_diffusion_lab.objective.sharp_drift import SharpDrift, shift

SAMPLES = Identity()
KERNELS = [Laplace(), Gaussian(), RationalQuadratic(1.5), RationalQuadratic(4.0)]
MEMBERS = parts.members("kernel")
Estimate = Callable[[Tensor, Tensor, Similarity], Tensor]


def cloud(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quantiles(n: int) -> Tensor:
    """A standard normal sample ``[n, 1]`` without luck."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(levels)[:, None]


def number(r: float) -> Tensor:
    return torch.tensor(r, dtype=torch.float64)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_kernel_falls_from_one_with_logarithms_that_stay_finite(name: str) -> None:
    kernel = parts.build("kernel", name, parts.pair_in_latents())
    for dtype in (torch.float32, torch.float64):
        r = torch.tensor([0.0, 1e-20, 1e-3, 1.0, 30.0, 1e8], dtype=dtype, requires_grad=True)
        for logs in (kernel.log_value(r), kernel.log_sharp(r)):
            (slope,) = torch.autograd.grad(logs.sum(), r)
            assert logs.dtype == dtype and logs.isfinite().all() and slope.isfinite().all()
            assert (logs.diff() <= 0).all() and logs[-1] < logs[0]
        assert kernel.value(r)[0] == 1 and (kernel.value(r) > 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_companion_is_the_integral_of_the_kernel(kernel: Kernel) -> None:
    for r in (0.0, 0.3, 1.0, 5.0):
        exact, _ = quad(lambda s: s * kernel.value(number(s)).item(), r, math.inf, limit=500)
        assert kernel.log_sharp(number(r)).exp().item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_slope_of_the_companion_is_the_kernel_times_the_difference(kernel: Kernel) -> None:
    x, y = cloud(5).requires_grad_(), cloud(5, seed=1)
    (slope,) = torch.autograd.grad(kernel.log_sharp((x - y).norm(dim=1)).exp().sum(), x)
    value = kernel.value((x - y).norm(dim=1))[:, None]
    torch.testing.assert_close(slope, value * (y - x))


def test_kernels_equal_those_of_sklearn() -> None:
    """Its Laplacian takes the city-block distance, which is the Euclidean one on the line."""
    x, y, h = cloud(6, 1), cloud(8, 1, seed=1), 0.7
    away, (a, b) = Targets(y).distance(x) / h, (x.numpy(), y.numpy())
    for kernel, expected in (
        (Laplace(), laplacian_kernel(a, b, gamma=1 / h)),
        (Gaussian(), rbf_kernel(a, b, gamma=1 / (2 * h**2))),
        (RationalQuadratic(1.0), process.RationalQuadratic(h, 1.0)(a, b)),
        (RationalQuadratic(3.0), process.RationalQuadratic(h, 3.0)(a, b)),
    ):
        torch.testing.assert_close(kernel.value(away), torch.as_tensor(expected))


def test_rational_quadratic_approaches_the_gaussian() -> None:
    r = torch.linspace(0, 3, 20, dtype=torch.float64)
    wide = RationalQuadratic(1e6)
    torch.testing.assert_close(wide.value(r), Gaussian().value(r), rtol=1e-4, atol=0)
    torch.testing.assert_close(wide.log_sharp(r), Gaussian().log_sharp(r), rtol=0, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_kernel_without_a_companion_is_refused_where_one_is_wanted(alpha: float) -> None:
    kernel = RationalQuadratic(alpha)
    MMD(SAMPLES, kernel)
    with pytest.raises(ConfigError, match=r"kernel\.alpha: .*more than 1"):
        SharpDrift(SAMPLES, kernel)


def attraction(kernel: Kernel, x: Tensor, y: Tensor, width: float) -> Tensor:
    return shift(kernel, Targets(y).distance(x) / width, x, y)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sharp_attraction_is_conservative(kernel: Kernel) -> None:
    """Its Jacobian is symmetric; normalised by the kernel itself it is not, but for the Gaussian."""
    y = cloud(7, seed=1)
    for place in cloud(4):
        jacobian = torch.autograd.functional.jacobian(lambda p: attraction(kernel, p[None], y, 0.8)[0], place)
        torch.testing.assert_close(jacobian, jacobian.T, rtol=1e-9, atol=1e-9)


def mean_shift(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """The displacement normalised by the kernel itself, as in drift."""
    return kernel.log_value(Targets(y).distance(x)).softmax(1) @ y - x


@pytest.mark.parametrize("kernel", [Laplace(), RationalQuadratic(1.5)])
def test_without_the_companion_the_attraction_is_not_conservative(kernel: Kernel) -> None:
    y = cloud(7, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda p: mean_shift(kernel, p[None], y)[0], cloud(1)[0])
    assert (jacobian - jacobian.T).abs().max() > 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
def test_sharp_attraction_is_the_slope_of_the_smoothed_log_density(kernel: Kernel) -> None:
    x, y, h = cloud(6).requires_grad_(), cloud(9, seed=1), 0.4
    density = kernel.log_sharp((x[:, None] - y).norm(dim=2) / h).logsumexp(1)
    (score,) = torch.autograd.grad(density.sum(), x)
    torch.testing.assert_close(attraction(kernel, x, y, h), h**2 * score)


def test_with_a_gaussian_it_is_the_score_of_a_kernel_density_estimate_and_a_mean_shift() -> None:
    x, y, h = cloud(6).requires_grad_(), cloud(9, seed=1), 0.4
    log_density = (-(x[:, None] - y).square().sum(2) / (2 * h**2)).logsumexp(1)
    (score,) = torch.autograd.grad(log_density.sum(), x)
    found = attraction(Gaussian(), x, y, h)
    torch.testing.assert_close(found, h**2 * score)
    torch.testing.assert_close(found, rbf_mean(x, y, h) - x)


def rbf_mean(x: Tensor, y: Tensor, h: float) -> Tensor:
    weight = torch.as_tensor(rbf_kernel(x.detach().numpy(), y.numpy(), gamma=1 / (2 * h**2)))
    return weight @ y / weight.sum(1, keepdim=True)


def test_sharp_field_is_the_difference_of_two_scores_of_gaussians() -> None:
    """N(m, s^2) smoothed by a Gaussian of width h is N(m, s^2 + h^2), and its score is linear."""
    m, s, temperature = 1.5, 0.6, 0.5
    x, y = quantiles(1500), m + s * quantiles(1400)
    field = SharpDrift(SAMPLES, Gaussian(), [temperature]).field(x, y)[0]
    middle = slice(400, -150)  # where the samples of both reach
    exact = -(x - m) / (s**2 + temperature**2) + x / (1 + temperature**2)
    torch.testing.assert_close(field[middle], temperature**2 * exact[middle], rtol=0.01, atol=0.005)


def smoothed(kernel: Kernel, place: float, m: float, s: float, h: float) -> float:
    """(k# * N(m, s^2)) at a place, by quadrature."""

    def integrand(t: float) -> float:
        sharp = kernel.log_sharp(number(abs(place - t) / h)).exp().item()
        return sharp * math.exp(-(((t - m) / s) ** 2) / 2) / s

    return quad(integrand, m - 8 * s, m + 8 * s, points=[place], limit=200)[0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_sharp_field_is_the_difference_of_smoothed_scores(kernel: Kernel) -> None:
    m, s, h, step = 1.5, 0.6, 0.5, 1e-4
    x, y = quantiles(1500), m + s * quantiles(1400)
    field = SharpDrift(SAMPLES, kernel, [h]).field(x, y)[0, :, 0]
    for i in (300, 700, 1300):
        place = x[i].item()
        ends = [
            math.log(smoothed(kernel, place + d, m, s, h) / smoothed(kernel, place + d, 0, 1, h))
            for d in (-step, step)
        ]
        exact = h**2 * (ends[1] - ends[0]) / (2 * step)
        assert field[i].item() == pytest.approx(exact, rel=0.01, abs=0.005)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sharp_field_has_no_bias_where_both_distributions_are_equal(kernel: Kernel) -> None:
    """Averaged over batches a point is at rest, in whatever part of the distribution it lies."""
    place = torch.tensor([[1.5, 0.0, -0.5]], dtype=torch.float64)
    objective = SharpDrift(SAMPLES, kernel)
    fields = [
        objective.field(torch.cat([place, cloud(63, seed=2 * i)]), cloud(63, seed=2 * i + 1))
        for i in range(300)
    ]
    moves = torch.stack([field[:, 0] for field in fields])
    error = moves.std(0) / len(moves) ** 0.5
    assert (moves.mean(0).abs() < 4 * error).all()
    assert (error < 0.05).all()


def test_sharp_field_is_zero_where_real_points_are_the_other_generated_ones() -> None:
    """Among the others each point meets exactly those that attract it."""
    pair, alone = cloud(2), SharpDrift(SAMPLES, Laplace())
    field = alone.field(pair, pair[1:])
    torch.testing.assert_close(field[:, 0], torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert field[:, 1].abs().max() > 0.01, "the other has nothing but its own place in the data"


def test_widths_of_sharp_drift_are_in_units_of_the_distance_between_points() -> None:
    x, y, temperature = cloud(1), 5 * cloud(9, seed=1) + 1, 0.4
    unit = (x - torch.cat([x, y])).square().sum(1).mean().sqrt()
    expected = attraction(Gaussian(), x, y, (temperature * unit).item())  # one point has none to repel it
    step, *_ = SharpDrift(SAMPLES, Gaussian(), [temperature]).step(x, y)
    torch.testing.assert_close(step, expected / expected.square().mean().sqrt())


def gaussian_mmd(m: float, s: float, h: float, dim: int = 1) -> float:
    """MMD^2 of N(0, 1) and N(m, s^2) in each of ``dim`` directions, with exp(-r^2 / (2 h^2))."""

    def alike(mean: float, variance: float) -> float:
        total = h**2 + variance
        return ((h**2 / total) ** 0.5 * math.exp(-(mean**2) / (2 * total))) ** dim

    return alike(0, 2) + alike(0, 2 * s**2) - 2 * alike(m, 1 + s**2)


@pytest.mark.parametrize(("m", "s", "h"), [(0.0, 1.0, 1.0), (2.0, 1.0, 0.5), (1.0, 3.0, 2.0)])
def test_mmd_of_two_gaussians(m: float, s: float, h: float) -> None:
    x, y = quantiles(800), m + s * quantiles(700)
    found = squared_mmd(x, y, lambda r: Gaussian().value(r / h))
    assert found.item() == pytest.approx(gaussian_mmd(m, s, h), abs=0.005)


def test_mmd_is_the_u_statistic_of_sklearns_kernel() -> None:
    x, y, h = cloud(6), cloud(9, seed=1) + 1, 1.3
    same_x, same_y, other = (rbf_kernel(a, b, gamma=1 / (2 * h**2)) for a, b in ((x, x), (y, y), (x, y)))
    expected = (same_x.sum() - 6) / 30 + (same_y.sum() - 9) / 72 - 2 * other.mean()
    found = squared_mmd(x, y, lambda r: Gaussian().value(r / h))
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("estimate", [squared_mmd, squared_mmd_linear])
def test_mmd_is_unbiased_on_tiny_batches(estimate: Estimate) -> None:
    torch.manual_seed(0)
    sets = torch.randn(1500, 7, 2, dtype=torch.float64)
    draws = [estimate(x[:3], 1 + 0.5 * x[3:], Gaussian().value) for x in sets]
    found = torch.stack(draws)
    assert abs(found.mean() - planar_mmd()) < 4 * found.std() / 1500**0.5
    assert found.min() < 0, "an estimate that cannot be negative is biased"


def planar_mmd() -> float:
    """MMD^2 of N(0, I) and N((1, 1), I / 4) in the plane with exp(-r^2 / 2)."""
    return 1 / 3 + 1 / 1.5 - 2 / 2.25 * math.exp(-2 / (2 * 2.25))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("estimate", [squared_mmd, squared_mmd_linear])
def test_mmd_has_the_gradient_of_its_value(estimate: Estimate, kernel: Kernel) -> None:
    x, y = cloud(6).requires_grad_(), cloud(5, seed=1)
    assert torch.autograd.gradcheck(lambda points: estimate(points, y, kernel.value), x)


@pytest.mark.parametrize("member", [MMD, MMDLinear])
def test_mmd_is_the_mean_over_its_bandwidths_and_knows_no_unit(member: type[Discrepancy]) -> None:
    x, y = cloud(8), cloud(8, seed=1) + 1

    def value(points: Tensor, others: Tensor, widths: list[float]) -> Tensor:
        return member(SAMPLES, Laplace(), widths).terms(points, others)["generator"]

    both = value(x, y, [0.5, 1.0])
    torch.testing.assert_close(both, (value(x, y, [0.5]) + value(x, y, [1.0])) / 2)
    torch.testing.assert_close(value(7 * x, 7 * y, [0.5, 1.0]), both)


def test_bandwidths_are_in_units_of_the_distance_between_drafts_and_data() -> None:
    x, y = cloud(8).requires_grad_(), cloud(9, seed=1) + 1
    unit = (x[:, None] - y).square().sum(2).mean().sqrt().detach()
    expected = squared_mmd(x, y, lambda r: Gaussian().value(r / (0.6 * unit)))
    found = MMD(SAMPLES, Gaussian(), [0.6]).terms(x, y)["generator"]
    torch.testing.assert_close(found, expected)
    (slope,), (constant_unit,) = torch.autograd.grad(found, x), torch.autograd.grad(expected, x)
    torch.testing.assert_close(slope, constant_unit)


def test_linear_mmd_follows_its_formula_pair_by_pair() -> None:
    x, y, k = cloud(7), cloud(9, seed=1), lambda a, b: math.exp(-(a - b).norm().item())
    h = [k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in ((0, 3), (1, 4), (2, 5))]
    assert squared_mmd_linear(x, y, Laplace().value).item() == pytest.approx(sum(h) / 3)


@pytest.mark.parametrize("member", [MMD, MMDLinear])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mmd_is_finite_on_extreme_sets(member: type[Discrepancy], dtype: torch.dtype) -> None:
    x, y = cloud(5).to(dtype), cloud(8, seed=1).to(dtype)
    far = torch.cat([x, torch.full((1, 3), 1e4, dtype=dtype)])
    for generated, real in [(far, y), (x[:1], y), (x, y[:1]), (x * 0, y * 0), (x * 1e-12, y * 1e-12)]:
        points = generated.clone().requires_grad_()
        term = member(SAMPLES, Laplace()).terms(points, real)["generator"]
        assert term.isfinite()
        assert torch.autograd.grad(term, points)[0].isfinite().all()
