"""Toy data: densities that are exact, points that follow them, and runs on them from end to end."""

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from scipy import stats
from torch import Tensor

from stable_diffusion_lab.cli import main
from stable_diffusion_lab.data.density.base import Density
from stable_diffusion_lab.data.density.checkerboard import Checkerboard
from stable_diffusion_lab.data.density.gaussian import Gaussian
from stable_diffusion_lab.data.density.mixture import Mixture
from stable_diffusion_lab.data.density.ring import Ring
from stable_diffusion_lab.data.toy import Toy
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.extractor.coordinates import Coordinates
from stable_diffusion_lab.extractor.random_convolution import RandomConvolution
from stable_diffusion_lab.modality.base import CAPTION
from stable_diffusion_lab.modality.vector import BINS, EDGE, ENLARGED

CONF = Path(__file__).parent.parent / "conf"
DENSITIES = sorted(path.stem for path in (CONF / "density").glob("*.yaml"))
N = 20_000


def build(name: str, *overrides: str) -> Any:
    """What ``density=name`` describes."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=["data=toy", f"density={name}", *overrides])
    return instantiate(config.density, _convert_="object")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def middles(step: float, edge: float = 1.6) -> Tensor:
    """Middles of the squares of a fine grid over the plane, ``[n * n, 2]``."""
    line = torch.arange(-edge + step / 2, edge, step, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


@pytest.mark.parametrize("name", DENSITIES)
def test_a_density_integrates_to_one(name: str) -> None:
    step = 1 / 256
    assert (build(name).log_prob(middles(step)).exp().sum() * step**2).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_points_fall_into_squares_as_the_density_says(name: str) -> None:
    density = build(name)
    step, wide = 1 / 256, 0.2
    mass = density.log_prob(middles(step)).exp() * step**2
    edges = numpy.arange(-1.6, 1.6 + wide / 2, wide)
    expected, *_ = numpy.histogram2d(*middles(step).T.numpy(), bins=edges, weights=mass.numpy())
    found, *_ = numpy.histogram2d(*density.sample(N, rng()).T.double().numpy(), bins=edges)
    often = N * expected >= 5
    rest = [N - found[often].sum()], [N - N * expected[often].sum() + 1e-9]
    statistic = ((found - N * expected)[often] ** 2 / (N * expected)[often]).sum()
    statistic += (rest[0][0] - rest[1][0]) ** 2 / max(rest[1][0], 5)
    assert stats.chi2.sf(statistic, often.sum()) > 1e-3


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_are_functions_of_the_seed_and_stay_near_the_unit_square(name: str) -> None:
    density = build(name)
    points = density.sample(N, rng())
    assert (points.shape, points.dtype) == ((N, density.dim), torch.float32)
    assert torch.equal(points, density.sample(N, rng()))
    assert not torch.equal(points, density.sample(N, rng(1)))
    assert (points.abs() <= 1).all(dim=1).double().mean() > 0.9999
    log_prob = density.log_prob(points)
    assert (log_prob.shape, log_prob.dtype) == ((N,), torch.float64)
    assert log_prob.isfinite().all()


@pytest.mark.parametrize(
    "density",
    [
        Gaussian(2),
        Gaussian(16, seed=3),
        Gaussian(1),
        Checkerboard(),
        Checkerboard(cells=7),
        Checkerboard(cells=1),
    ],
)
def test_the_mean_surprise_is_the_entropy(density: Gaussian | Checkerboard) -> None:
    surprise = -density.log_prob(density.sample(N, rng()))
    error = surprise.std().item() / math.sqrt(N)
    assert surprise.mean().item() == pytest.approx(density.entropy, abs=4 * error + 1e-9)


def test_a_gaussian_is_scipys() -> None:
    density = Gaussian(5, seed=1)
    truth = stats.multivariate_normal(cov=density.covariance.numpy())
    points = density.sample(1000, rng()).double()
    assert density.log_prob(points).numpy() == pytest.approx(truth.logpdf(points.numpy()))
    assert density.entropy == pytest.approx(truth.entropy())
    deviations = torch.linalg.eigvalsh(density.covariance).sqrt()
    assert (deviations[0].item(), deviations[-1].item()) == pytest.approx((0.04, 0.22))
    assert not torch.allclose(density.covariance, Gaussian(5, seed=2).covariance)


def test_a_mixture_is_the_mean_of_scipys_gaussians() -> None:
    density = Mixture(dim=7, components=5, scale=0.1)
    each = [stats.multivariate_normal(mean.numpy(), 0.1**2 * numpy.eye(7)) for mean in density.means]
    points = density.sample(200, rng()).double().numpy()
    truth = numpy.log(numpy.mean([normal.pdf(points) for normal in each], axis=0))
    assert density.log_prob(torch.from_numpy(points)).numpy() == pytest.approx(truth)


def test_the_means_of_a_mixture_are_far_apart_or_refused() -> None:
    assert torch.pdist(Mixture().means).min() > 6 * 0.04
    assert not torch.equal(Mixture().means, Mixture(seed=1).means)
    assert torch.equal(Mixture().means, Mixture(components=20, scale=0.01).means[:16])
    with pytest.raises(ConfigError, match=r"density\.components: 200 means"):
        Mixture(components=200)


def test_a_ring_has_its_modes_at_equal_distances() -> None:
    means = Ring(components=6, radius=0.5).means
    assert torch.allclose(means.norm(dim=1), torch.full((6,), 0.5, dtype=torch.float64))
    assert torch.allclose((means - means.roll(1, 0)).norm(dim=1), torch.full((6,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("density", [Ring(), Mixture(dim=3), Checkerboard(cells=5)])
def test_labels_are_the_components_and_each_is_as_frequent(density: Density) -> None:
    points, labels = density.draw(N, rng())
    assert labels is not None and labels.dtype == torch.int64
    counts = labels.bincount()
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    if isinstance(density, Checkerboard):
        corners = density.dark[labels] * (2 / density.cells) - 1
        assert ((points >= corners) & (points <= corners + 2 / density.cells)).all()
    else:
        assert torch.equal(torch.cdist(points.double(), density.means).argmin(dim=1), labels)  # type: ignore[attr-defined]
    assert Gaussian().draw(3, rng())[1] is None


def test_toy_data_are_three_independent_sets_that_never_change() -> None:
    data = Toy(Ring(), (2,), train=300, validation=200, test=200)
    assert [len(split.samples) for split in data.splits.values()] == [300, 200, 200]
    assert not torch.equal(data.validation.samples, data.test.samples)
    assert data.fingerprint == Toy(Ring(), (2,), train=300, validation=200, test=200).fingerprint
    assert data.fingerprint != Toy(Ring(), (2,), train=300, validation=200, test=200, seed=1).fingerprint
    assert data.density.log_prob(data.test.samples).isfinite().all()
    with pytest.raises(DataError, match=r"toy: vectors are \[2\], set data\.shape=\[2\]"):
        Toy(Ring(), (3,), train=10, validation=10, test=10)


def test_coordinates_are_judged_in_units_of_their_spread() -> None:
    data = Toy(Gaussian(), (2,))
    extractor = Coordinates(data.shape)
    extractor.prepare(data, Path())
    features, points = extractor.extract(data.train.samples), data.train.samples
    assert features.var(dim=0).mean().item() == pytest.approx(1, abs=1e-4)
    assert torch.allclose(features / features[0, 0], points / points[0, 0], rtol=1e-4)
    with pytest.raises(ConfigError, match="extractor=coordinates"):
        RandomConvolution(data.shape)


SMALL = [
    *("logger=none", "trainer.max_steps=40", "trainer.log_every_n_steps=10"),
    *("save_every=40", "sample_every=40", "evaluate_every=40", "metric=[frechet,precision_recall]"),
    *("data.train=1000", "data.validation=500", "data.test=500"),
]


def train(folder: Path, *words: str) -> Path:
    """The folder of a finished run."""
    assert main(["train", "data=toy", *SMALL, *words, f"runs={folder}"]) == 0
    (run,) = folder.glob("*/*")
    return run


def sample(run: Path, out: Path, *words: str) -> int:
    return main(["sample", f"run={run}", f"out={out}", "device=cpu", *words])


def test_a_run_ends_with_scores_vectors_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "runs")
    found = json.loads((run / "test.json").read_text())
    assert (found["extractor"], found["real"]) == ("Coordinates", 500)
    assert all(math.isfinite(value) for row in found["scores"].values() for value in row.values())
    side = BINS * ENLARGED
    assert Image.open(run / "samples" / "step-00000040.png").size == (2 * side + 8, side + CAPTION)
    assert sample(run, tmp_path / "a.npz", "n=300") == 0
    arrays = dict(numpy.load(tmp_path / "a.npz"))
    assert {k: (it.shape, it.dtype.name) for k, it in arrays.items()} == {
        "samples": ((300, 2), "float32"),
        "drafts": ((300, 2), "float32"),
    }
    assert sample(run, tmp_path / "grid.png", "n=1000") == 0
    assert Image.open(tmp_path / "grid.png").size == (2 * side + 8, side + CAPTION)
    capsys.readouterr()
    assert sample(run, tmp_path / "folder") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "a.npz", "grid.png"}


@pytest.mark.parametrize(
    "words",
    [
        ("density=checkerboard", "generator=mlp", "objective=sinkhorn"),
        ("density=gaussian", "density.dim=5", "generator=mixture"),
        ("density=mixture", "generator=mlp", "objective=relativistic", "critic=mlp"),
    ],
)
def test_other_densities_and_generators_train_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    train(tmp_path, *words)


def test_a_fitted_mixture_shows_all_eight_modes(tmp_path: Path) -> None:
    run = train(tmp_path / "runs", "generator=mixture", "generator.components=8", "trainer.max_steps=400")
    assert sample(run, tmp_path / "grid.png", "n=10000") == 0
    drafts = numpy.asarray(Image.open(tmp_path / "grid.png"))[CAPTION:, : BINS * ENLARGED]
    bright = torch.from_numpy(drafts[::ENLARGED, ::ENLARGED].copy()).flip(0).double()
    line = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS * 2 * EDGE - EDGE
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=2)
    near = torch.cdist(places.flatten(0, 1), Ring().means).view(BINS, BINS, 8) < 0.2
    assert (bright[..., None] * near).sum(dim=(0, 1)).min() > 0.05 * bright.sum(), "none of eight is missing"
    assert (bright * near.any(dim=2)).sum() > 0.8 * bright.sum()
