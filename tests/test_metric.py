"""Metrics against closed forms, reference libraries, and cases with a known answer."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import yaml
from hydra.utils import instantiate
from prdc import compute_prdc
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.metric import (
    density_coverage,
    frechet,
    frontier,
    inception_discriminative,
    kernel,
    neighbours,
    precision_recall,
)
from stable_diffusion_lab.metric.base import Metric

CONF = Path(__file__).parent.parent / "conf" / "metric"
FRECHET, KERNEL = frechet.Frechet(), kernel.Kernel()
PRECISION_RECALL, DENSITY_COVERAGE = precision_recall.PrecisionRecall(3), density_coverage.DensityCoverage(5)
FRONTIER = frontier.Frontier()
INCEPTION = inception_discriminative.InceptionDiscriminative()
ALL: list[Metric] = [
    instantiate(yaml.safe_load(file.read_text())[file.stem]) for file in sorted(CONF.glob("*.yaml"))
]


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return shift + scale * torch.randn(
        n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def exactly(mean: Tensor, covariance: Tensor, n: int = 200) -> Tensor:
    """Points whose sample mean and unbiased covariance are exactly those given."""
    points = normal(n, len(mean), seed=5)
    points = points - points.mean(dim=0)
    whitened = points @ torch.linalg.inv(torch.linalg.cholesky(points.T.cov())).T
    return mean + whitened @ torch.linalg.cholesky(covariance).T


class Identity(nn.Module):
    num_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_config_holds_one_metric_under_its_own_name(file: Path) -> None:
    assert list(yaml.safe_load(file.read_text())) == [file.stem]


def test_frechet_is_the_closed_form_for_diagonal_gaussians() -> None:
    mean, variance = torch.tensor([0.5, -2.0, 0.0]).double(), torch.tensor([4.0, 1.0, 0.25]).double()
    real = exactly(torch.zeros(3).double(), torch.eye(3).double())
    generated = exactly(mean, variance.diag())
    expected = mean.square().sum() + (variance.sqrt() - 1).square().sum()
    assert FRECHET(real, generated)["fd"] == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_of_shifted_and_scaled_features() -> None:
    x = normal(100, 8, seed=0)
    assert FRECHET(x, x + 3)["fd"] == pytest.approx(9 * 8, rel=1e-9)
    assert FRECHET(x, 2 * (x - x.mean(dim=0)) + x.mean(dim=0))["fd"] == pytest.approx(
        x.var(dim=0).sum().item(), rel=1e-9
    )


def test_frechet_agrees_with_scipy_and_torchmetrics() -> None:
    mixing = normal(8, 8, seed=3)
    real, generated = normal(300, 8, seed=1), normal(150, 8, seed=2, shift=0.5) @ mixing
    moments = [(x.mean(dim=0).numpy(), np.cov(x.numpy(), rowvar=False)) for x in (real, generated)]
    (mu, sigma), (nu, tau) = moments
    root = scipy.linalg.sqrtm(sigma @ tau).real
    expected = ((mu - nu) ** 2).sum() + np.trace(sigma + tau - 2 * root)
    reference = FrechetInceptionDistance(Identity()).set_dtype(torch.float64)
    reference.update(real, real=True)
    reference.update(generated, real=False)
    value = FRECHET(real, generated)["fd"]
    assert value == pytest.approx(expected, rel=1e-8)
    assert value == pytest.approx(reference.compute().item(), rel=1e-8)


def test_frechet_of_wide_features_far_from_zero_loses_no_digits() -> None:
    x = normal(500, 64, seed=0)
    assert FRECHET(x + 1000, 1.5 * x + 1000)["fd"] == pytest.approx(FRECHET(x, 1.5 * x)["fd"], rel=1e-5)


def u_statistic(real: Tensor, generated: Tensor) -> float:
    """Binkowski et al. 2018, eq. 4, written as double sums."""

    def k(x: Tensor, y: Tensor) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    m, n = len(real), len(generated)
    xx = sum(k(real[i], real[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(generated[i], generated[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    xy = sum(k(real[i], generated[j]) for i in range(m) for j in range(n)) / (m * n)
    return xx + yy - 2 * xy


@pytest.mark.parametrize("chunk", [1000, 7])
def test_kernel_is_the_u_statistic(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    real, generated = normal(20, 4, seed=0), normal(15, 4, seed=1, shift=0.3)
    assert KERNEL(real, generated)["kd"] == pytest.approx(u_statistic(real, generated), rel=1e-9)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kernel_agrees_with_torchmetrics() -> None:
    real, generated = normal(200, 8, seed=0), normal(200, 8, seed=1, shift=0.2)
    reference = KernelInceptionDistance(Identity(), subsets=1, subset_size=200)
    reference.update(real, real=True)
    reference.update(generated, real=False)
    assert KERNEL(real, generated)["kd"] == pytest.approx(reference.compute()[0].item(), rel=1e-5)


def test_kernel_is_unbiased() -> None:
    values = [KERNEL(normal(30, 4, seed=2 * i), normal(30, 4, seed=2 * i + 1))["kd"] for i in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values))


@pytest.mark.filterwarnings("ignore:.*sklearn.utils.parallel.delayed")
@pytest.mark.parametrize("elements", [2**22, 1000])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 0.5), (0.3, 1.5)])
def test_neighbour_metrics_agree_with_prdc(
    monkeypatch: pytest.MonkeyPatch, elements: int, shift: float, scale: float
) -> None:
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", elements)
    real, generated = normal(120, 6, seed=0), normal(90, 6, seed=1, shift=shift, scale=scale)
    three, five = (compute_prdc(real.numpy(), generated.numpy(), nearest_k=k) for k in (3, 5))
    expected = {key: three[key] for key in ("precision", "recall")}
    expected |= {key: five[key] for key in ("density", "coverage")}
    found = PRECISION_RECALL(real, generated) | DENSITY_COVERAGE(real, generated)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_real_against_itself_is_perfect(offset: float) -> None:
    x = normal(200, 8, seed=0) + offset
    assert FRECHET(x, x)["fd"] == pytest.approx(0, abs=1e-5)
    assert PRECISION_RECALL(x, x) == {"precision": 1, "recall": 1}
    assert DENSITY_COVERAGE(x, x) == {"density": 1, "coverage": 1}


def test_one_repeated_real_sample_is_precise_and_nothing_else() -> None:
    real = normal(200, 8, seed=0)
    generated = real[:1].expand(200, 8)
    assert PRECISION_RECALL(real, generated) == {"precision": 1, "recall": 1 / 200}
    assert DENSITY_COVERAGE(real, generated)["coverage"] < 0.2
    # The generated covariance is zero, so the distance of the means and one trace are left.
    expected = (real[0] - real.mean(dim=0)).square().sum() + real.var(dim=0).sum()
    assert FRECHET(real, generated)["fd"] == pytest.approx(expected.item(), rel=1e-6)


def test_repeated_samples_far_from_zero_have_no_distance() -> None:
    points = normal(50, 16, seed=0).repeat_interleave(4, dim=0) + 1e6
    assert (neighbours.squared_radii(points, 3) == 0).all()
    assert (neighbours.squared_radii(points, 4) > 0).all()


def test_a_constant_nowhere_near_the_data_scores_nothing() -> None:
    real, generated = normal(200, 8, seed=0), torch.full((200, 8), 1e3).double()
    assert PRECISION_RECALL(real, generated) == {"precision": 0, "recall": 0}
    assert DENSITY_COVERAGE(real, generated) == {"density": 0, "coverage": 0}


def test_precision_and_recall_are_each_other_with_the_sides_swapped() -> None:
    real, generated = normal(150, 6, seed=0), normal(100, 6, seed=1, scale=0.5)
    forward, backward = PRECISION_RECALL(real, generated), PRECISION_RECALL(generated, real)
    assert forward == {"precision": backward["recall"], "recall": backward["precision"]}
    assert forward["precision"] > forward["recall"]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_metrics_do_not_depend_on_order_or_on_a_common_rotation(metric: Metric) -> None:
    real, generated = normal(100, 8, seed=0), normal(80, 8, seed=1, shift=0.4)
    rotation = torch.linalg.qr(normal(8, 8, seed=2)).Q
    expected = metric(real, generated)
    assert metric(real.flip(0), generated.flip(0)) == pytest.approx(expected, rel=1e-9)
    assert metric(real @ rotation, generated @ rotation) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_metrics_know_which_way_is_up(metric: Metric) -> None:
    real = normal(300, 8, seed=0)
    near, far = metric(real, normal(300, 8, seed=1)), metric(real, normal(300, 8, seed=1, shift=2.0))
    assert near.keys() == metric.higher_is_better.keys()
    for name, up in metric.higher_is_better.items():
        assert (near[name] > far[name]) == up


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
@pytest.mark.parametrize("short", ["real", "generated"])
def test_too_few_samples_are_refused_and_just_enough_are_not(metric: Metric, short: str) -> None:
    least = metric.least(8)
    sides = {"real": normal(50, 8, seed=0), "generated": normal(50, 8, seed=1)}
    enough = sides | {short: sides[short][:least]}
    assert all(math.isfinite(value) for value in metric(**enough).values())
    with pytest.raises(DataError, match=f"at least {least} samples") as caught:
        metric(**sides | {short: sides[short][: least - 1]})
    assert (caught.value.tag, caught.value.exit_code) == ("METRIC-N", 3)


def test_frechet_wants_more_samples_than_features() -> None:
    with pytest.raises(DataError, match="fd: at least 65 samples wanted, got 64 real and 1000 generated"):
        FRECHET(normal(64, 64, seed=0), normal(1000, 64, seed=1))


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_one_repeated_sample_is_finite_and_worse_than_the_data_itself(metric: Metric) -> None:
    real = normal(200, 8, seed=0)
    itself, repeated = metric(real, real), metric(real, real[:1].expand(200, 8))
    assert all(math.isfinite(value) for value in (*itself.values(), *repeated.values()))
    ways = metric.higher_is_better.items()
    assert any(repeated[name] < itself[name] if up else repeated[name] > itself[name] for name, up in ways)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_fewer_samples_than_features_are_refused_or_scored_with_finite_numbers(metric: Metric) -> None:
    sides = normal(30, 64, seed=0), normal(30, 64, seed=1)
    if metric.least(64) > 30:
        with pytest.raises(DataError, match="at least 65 samples"):
            metric(*sides)
    else:
        assert all(math.isfinite(value) for value in metric(*sides).values())


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_metrics_leave_the_global_random_state_alone(metric: Metric) -> None:
    before = torch.get_rng_state()
    metric(normal(50, 8, seed=0), normal(50, 8, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_hyperplane_is_wrong_half_the_time_where_nothing_differs_and_never_where_it_can_separate() -> None:
    real = normal(2000, 4, seed=0)
    same = INCEPTION(real, normal(2000, 4, seed=1))
    assert all(0.45 < value < 0.51 for value in same.values())
    assert INCEPTION(real, real) == {"u_ids": 0.5, "p_ids": 0.5}
    assert INCEPTION(real, normal(2000, 4, seed=1, shift=20.0)) == {"u_ids": 0, "p_ids": 0}


def test_discriminative_scores_of_shifted_gaussians_are_known() -> None:
    shift = torch.tensor(
        [2.0, 0, 0, 0]
    ).double()  # along it, errors are at a half, and differences have sqrt(2)
    found = INCEPTION(normal(4000, 4, seed=0), normal(4000, 4, seed=1) + shift)
    tail = [0.5 * math.erfc(x / math.sqrt(2)) for x in (1.0, 2.0 / math.sqrt(2))]
    assert found == pytest.approx({"u_ids": tail[0], "p_ids": tail[1]}, abs=0.015)


def test_paired_scores_compare_each_sample_with_its_own() -> None:
    real = normal(500, 4, seed=0, scale=10.0)
    restored = real - torch.tensor([0.5, 0, 0, 0]).double()
    assert INCEPTION(real, restored)["p_ids"] == 0
    assert INCEPTION(real, restored.flip(0))["p_ids"] == pytest.approx(0.5, abs=0.05)
    assert INCEPTION(real, restored[:-1])["p_ids"] == pytest.approx(0.5, abs=0.05)


def integral(p: float, q: float, scale: float) -> float:
    """Of y dx along the frontier of coins of heads p and q, by Gauss and Legendre, and what is left of it."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    share, weights = (nodes + 1) / 2, weights / 2
    r = share * p + (1 - share) * q

    def lost(a: float, b: np.ndarray | float) -> np.ndarray:
        return np.exp(-scale * (a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))))

    slope = scale * (p - q) * (q / r - (1 - q) / (1 - r)) * lost(q, r)  # dx / d share
    return float(lost(q, p) - (weights * lost(p, r) * slope).sum())


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize(("heads", "others"), [(90, 30), (50, 50), (100, 0), (20, 25)])
def test_the_frontier_of_two_clusters_is_the_integral(heads: int, others: int, scale: float) -> None:
    places = torch.tensor([[0.0, 1.0], [5.0, -2.0]]).double()
    real, generated = (
        places[[0] * n + [1] * (100 - n)] + 0.01 * normal(100, 2, seed=n) for n in (heads, others)
    )
    p, q = ((n + 0.5) / 101 for n in (heads, others))
    found = frontier.Frontier(crowd=50, scale=scale)(real, generated)["mauve"]
    assert found == pytest.approx(integral(p, q, scale), rel=1e-4)
    assert found == pytest.approx(1) if heads == others else found < 1


def test_the_frontier_is_one_for_equal_sets_and_nearly_nothing_for_sets_apart() -> None:
    real = normal(2000, 4, seed=0)
    assert FRONTIER(real, real)["mauve"] == pytest.approx(1)
    assert FRONTIER(real, normal(2000, 4, seed=1))["mauve"] > 0.9
    apart = FRONTIER(real, normal(2000, 4, seed=1, shift=50.0))["mauve"]
    assert apart == pytest.approx(integral(20.5 / 21, 0.5 / 21, 5.0), rel=0.05), "20 samples to a cluster"


def test_the_frontier_is_the_same_from_either_side_and_sees_lost_variety() -> None:
    real, narrow = normal(600, 4, seed=0), normal(400, 4, seed=1, scale=0.5)
    assert FRONTIER(real, narrow)["mauve"] == pytest.approx(FRONTIER(narrow, real)["mauve"], rel=1e-3)
    assert FRONTIER(real, narrow)["mauve"] < FRONTIER(real, normal(400, 4, seed=1))["mauve"] - 0.2
