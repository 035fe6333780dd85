"""Both estimates of KL(p_theta || p_data) against divergences that are known exactly."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.distributions import MultivariateNormal as Gaussian
from torch.distributions import kl_divergence as exact

from stable_diffusion_lab.metric.knn_divergence import KnnDivergence
from stable_diffusion_lab.metric.principal import Principal
from stable_diffusion_lab.metric.ratio_divergence import RatioDivergence, lower_bound

KNN, RATIO = KnnDivergence(k=3, max_dim=8), RatioDivergence(max_dim=8, waves=100, seed=0)
N = 4000


def kl_knn(real: Tensor, generated: Tensor) -> float:
    return KNN(real, generated)["kl_knn"]


def kl_ratio(real: Tensor, generated: Tensor) -> float:
    return RATIO(real, generated)["kl_ratio"]


def draw(density: Distribution, n: int = N, seed: int = 0) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return density.sample((n,))


def gaussian(dim: int, shift: float = 0.0, scale: float = 1.0) -> Gaussian:
    eye = torch.eye(dim, dtype=torch.float64)
    return Gaussian(torch.full((dim,), shift, dtype=torch.float64), scale**2 * eye)


def correlated(dim: int, seed: int) -> Gaussian:
    mixing = draw(gaussian(dim), dim, seed) / 3 + torch.eye(dim, dtype=torch.float64)
    return Gaussian(mixing[0], mixing @ mixing.T)


def mixture(centres: Tensor, scale: float) -> MixtureSameFamily:
    weights = torch.ones(len(centres), dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), Independent(Normal(centres, scale), 1))


def ring(modes: int) -> MixtureSameFamily:
    """The first of eight Gaussians on the unit circle."""
    angle = torch.arange(modes, dtype=torch.float64) * math.pi / 4
    return mixture(torch.stack([angle.cos(), angle.sin()], dim=1), 0.1)


def estimated(p: Distribution, q: Distribution) -> float:
    """KL(p || q) from exact densities at 200,000 points."""
    x = draw(p, 200_000, seed=9)
    return (p.log_prob(x) - q.log_prob(x)).mean().item()


# What it takes for both to be right in two dimensions, k-NN within 0.1 nats and the bound within 0.07 below.
PLANE = {
    "shift": (gaussian(2), gaussian(2, shift=0.5)),
    "narrow": (gaussian(2), gaussian(2, scale=0.7)),
    "wide": (gaussian(2), gaussian(2, shift=0.3, scale=1.3)),
    "far": (gaussian(2), gaussian(2, shift=1.0, scale=0.8)),
    "correlated": (correlated(2, 1), correlated(2, 2)),
}


@pytest.mark.parametrize("case", PLANE)
def test_gaussians_in_the_plane(case: str) -> None:
    data, theta = PLANE[case]
    truth, samples = exact(theta, data).item(), (draw(data, seed=1), draw(theta, seed=2))
    assert kl_knn(*samples) == pytest.approx(truth, abs=0.1, rel=0.1)
    assert truth - 0.07 < kl_ratio(*samples) < truth + 0.07


# In eight dimensions neighbours are far and k-NN has the error that its docstring owns to. The bound is
# loose, until exp(KL) nears the number of samples: then the data where T is high are not among them.
SPACE = {
    "shift": (gaussian(8, shift=0.5), 0.65, 0.9),
    "narrow": (gaussian(8, scale=0.7), 1.2, 1.6),
    "wide": (gaussian(8, shift=0.3, scale=1.3), 0.0, 0.2),
    "far": (gaussian(8, shift=1.0, scale=0.8), 0.8, 1.0),
}


@pytest.mark.parametrize("case", SPACE)
def test_gaussians_in_eight_dimensions(case: str) -> None:
    theta, least, most = SPACE[case]
    truth = exact(theta, gaussian(8)).item()
    samples = draw(gaussian(8), seed=1), draw(theta, seed=2)
    assert least < kl_knn(*samples) / truth < most
    assert 0.7 * truth < kl_ratio(*samples) < 1.15 * truth


@pytest.mark.parametrize("dim", [2, 8, 64])
def test_samples_of_the_data_itself_are_at_no_distance(dim: int) -> None:
    real, generated = draw(gaussian(dim), seed=1), draw(gaussian(dim), seed=2)
    assert abs(kl_knn(real, generated)) < 0.06
    found = RATIO(real, generated)
    assert abs(found["kl_ratio"]) < 0.04 and found["c2st"] == pytest.approx(0.5, abs=0.03)


def test_few_samples_in_many_dimensions_are_no_evidence_of_a_difference() -> None:
    real, generated = draw(gaussian(64), 360, seed=1), draw(gaussian(64), 360, seed=2)
    assert abs(kl_knn(real, generated)) < 0.25
    assert abs(kl_ratio(real, generated)) < 0.1


def test_mixtures_against_their_exact_densities() -> None:
    centres = draw(gaussian(2), 5, seed=3) * 2
    data, theta = mixture(centres, 0.6), mixture(centres + 0.3, 0.5)
    truth, samples = estimated(theta, data), (draw(data, seed=1), draw(theta, seed=2))
    assert kl_knn(*samples) == pytest.approx(truth, abs=0.1)
    assert truth - 0.15 < kl_ratio(*samples) < truth + 0.05


def test_a_mode_that_is_missed_costs_log_8_over_7() -> None:
    truth, samples = math.log(8 / 7), (draw(ring(8), seed=1), draw(ring(7), seed=2))
    assert estimated(ring(7), ring(8)) == pytest.approx(truth, abs=0.01)
    assert kl_knn(*samples) == pytest.approx(truth, abs=0.05)
    assert truth - 0.05 < kl_ratio(*samples) < truth + 0.03


def test_a_mode_that_the_data_has_not_costs_several_times_as_much() -> None:
    samples, missed = (draw(ring(7), seed=1), draw(ring(8), seed=2)), math.log(8 / 7)
    truth = estimated(ring(8), ring(7))
    for value in (kl_knn(*samples), kl_ratio(*samples)):
        assert 2.5 * missed < value < truth


def squares(n: int, black: bool, seed: int) -> Tensor:
    """Uniform over the black, or all, squares of a board of four by four."""
    points = draw(Independent(torch.distributions.Uniform(torch.zeros(2), 4 * torch.ones(2)), 1), 4 * n, seed)
    colour = points.floor().sum(dim=1) % 2
    return (points[colour == 0] if black else points)[:n].double()


def test_half_the_squares_of_a_board_are_at_log_2() -> None:
    samples = squares(N, False, seed=1), squares(N, True, seed=2)
    assert kl_knn(*samples) == pytest.approx(math.log(2), abs=0.1)
    assert 0.1 < kl_ratio(*samples) < math.log(2), "sixteen squares are more than the classifier can draw"


def test_a_part_of_a_uniform_square_is_at_the_log_of_the_areas() -> None:
    real, generated = squares(N, False, seed=1), squares(N, False, seed=2)
    generated = generated * torch.tensor([0.5, 1.0])
    assert kl_knn(real, generated) == pytest.approx(math.log(2), abs=0.1)
    assert math.log(2) - 0.1 < kl_ratio(real, generated) < math.log(2)


def half_by_loops(fitted: np.ndarray, real: np.ndarray, generated: np.ndarray, k: int) -> float:
    """The estimate of Wang et al. with the metric of the fitted covariance, written as it is defined."""
    precision = np.linalg.inv(np.cov(fitted.T, bias=True))

    def reach(x: np.ndarray, others: np.ndarray, k: int) -> float:
        return sorted(math.sqrt((x - y) @ precision @ (x - y)) for y in others)[k - 1]

    n, m, d = len(real), len(generated), real.shape[1]
    total = 0.0
    for i, x in enumerate(generated):
        total += math.log(reach(x, real, k) / reach(x, np.delete(generated, i, axis=0), k))
    return d / m * total + math.log(n / (m - 1))


@pytest.mark.parametrize("k", [1, 4])
def test_knn_is_what_loops_find(k: int) -> None:
    real, generated = draw(correlated(3, 1), 61, seed=1), draw(correlated(3, 2), 50, seed=2)
    even, odd, x = real[::2].numpy(), real[1::2].numpy(), generated.numpy()
    expected = (half_by_loops(even, odd, x, k) + half_by_loops(odd, even, x, k)) / 2
    assert KnnDivergence(k, max_dim=3)(real, generated)["kl_knn"] == pytest.approx(expected, rel=1e-9)


def test_knn_is_the_same_in_all_affine_coordinates() -> None:
    real, generated = draw(correlated(4, 1), 500, seed=1), draw(correlated(4, 2), 400, seed=2)
    expected, mixing = kl_knn(real, generated), draw(gaussian(4), 4, seed=3)
    for transform in (1e-3 * torch.eye(4).double(), torch.tensor([1e3, 1, 1, 1e-2]).double().diag(), mixing):
        moved = real @ transform + 100, generated @ transform + 100
        assert kl_knn(*moved) == pytest.approx(expected, rel=1e-5)


def test_copies_of_the_data_score_below_zero() -> None:
    # For half of them one of the k neighbours is the copy: E log nu^d falls by psi(k) - psi(k - 1).
    real = draw(gaussian(2), seed=1)
    for k in (2, 3, 6):
        value = KnnDivergence(k)(real, real)["kl_knn"]
        assert value == pytest.approx(-1 / (2 * (k - 1)), abs=0.05)


def test_one_repeated_sample_scores_high_and_finite() -> None:
    real = draw(gaussian(8), seed=1)
    repeated = real[:1].expand(N, 8)
    assert 50 < kl_knn(real, repeated) < 8 * math.log(10 / 1e-6)
    # No T vouches for more than the log of the held-out real samples.
    found = RATIO(real, repeated)
    assert found["kl_ratio"] == pytest.approx(math.log(N / 2), abs=0.1) and found["c2st"] > 0.99


def test_features_without_variance_are_no_numbers_out_of_range() -> None:
    real, constant = draw(gaussian(3), 100, seed=1), torch.zeros(100, 3)
    for pair in ((constant, constant), (constant, real), (real, constant)):
        assert all(math.isfinite(value) for metric in (KNN, RATIO) for value in metric(*pair).values())


def test_a_feature_that_never_varies_changes_nothing() -> None:
    sides = draw(correlated(3, 1), 200, seed=1), draw(correlated(3, 2), 200, seed=2)
    wide = [torch.cat([side, torch.full((200, 1), 7.0).double()], dim=1) for side in sides]
    for metric in (KNN, RATIO):
        assert metric(*wide) == pytest.approx(metric(*sides), rel=1e-6)


def test_lower_bound_is_tight_at_the_log_ratio_and_below_elsewhere() -> None:
    data, theta = gaussian(2), gaussian(2, shift=0.4, scale=0.9)
    y, x = draw(data, 200_000, seed=1), draw(theta, 200_000, seed=2)
    truth = exact(theta, data).item()

    def value(t: Tensor, shift: float = 0.0, slope: float = 1.0) -> np.ndarray:
        return (shift + slope * (theta.log_prob(t) - data.log_prob(t))).numpy()

    assert lower_bound(value(y), value(x)) == pytest.approx(truth, abs=0.01)
    assert lower_bound(value(y, shift=2.0), value(x, shift=2.0)) == pytest.approx(truth, abs=0.01)
    for slope in (-1.0, 0.0, 0.5, 1.5):
        assert lower_bound(value(y, slope=slope), value(x, slope=slope)) < truth - 0.01


def test_lower_bound_never_passes_the_log_of_the_number_of_samples() -> None:
    assert lower_bound(np.full(50, -1e9), np.full(20, 1e9)) == pytest.approx(math.log(50))


def test_unequal_numbers_of_samples_do_not_count_as_a_difference() -> None:
    real, generated = draw(gaussian(2), 4000, seed=1), draw(gaussian(2), 1000, seed=2)
    assert abs(kl_knn(real, generated)) < 0.08
    found = RATIO(real, generated)
    assert abs(found["kl_ratio"]) < 0.03 and found["c2st"] == pytest.approx(0.5, abs=0.03)
    truth = exact(gaussian(2, shift=0.5), gaussian(2)).item()
    for n, m in ((4000, 1000), (1000, 4000)):
        samples = draw(gaussian(2), n, seed=1), draw(gaussian(2, shift=0.5), m, seed=2)
        assert kl_knn(*samples) == pytest.approx(truth, abs=0.1)
        found = RATIO(*samples)
        assert found["kl_ratio"] == pytest.approx(truth, abs=0.07)
        best = Normal(0.0, 1.0).cdf(torch.tensor(0.5 * 2**0.5 / 2)).item()  # of all classifiers
        assert found["c2st"] == pytest.approx(best, abs=0.03)


def test_equal_samples_give_equal_values() -> None:
    samples = draw(gaussian(12), 500, seed=1), draw(gaussian(12, shift=0.5), 500, seed=2)
    for metric in (KNN, RATIO):
        assert metric(*samples) == metric(*samples)


def test_wide_features_are_reduced_to_where_the_real_ones_vary() -> None:
    spread = torch.tensor([3.0, 2.0] + [0.01] * 20).double()
    real, generated = draw(gaussian(22), seed=1) * spread, draw(gaussian(22, shift=0.5), seed=2) * spread
    plane = KnnDivergence(max_dim=2)
    expected = plane(real[:, :2], generated[:, :2])["kl_knn"]
    assert plane(real, generated)["kl_knn"] == pytest.approx(expected, abs=0.02)


def test_principal_axes_have_unit_variance_and_follow_a_rotation() -> None:
    points = draw(correlated(5, 1), 300, seed=1).exp()
    rotation = torch.linalg.qr(draw(gaussian(5), 5, seed=2)).Q
    found = Principal.fit(points, 3)(points)
    torch.testing.assert_close(found.T.cov(correction=0), torch.eye(3).double(), atol=1e-9, rtol=0)
    turned = points @ rotation
    torch.testing.assert_close(Principal.fit(turned, 3)(turned), found, atol=1e-8, rtol=1e-8)
