"""Denoisers know the scores of what they have seen, and drafts follow the difference of two of them."""

import math
import os
from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from stable_diffusion_lab.error import CheckpointError, ConfigError, RefusedError
from stable_diffusion_lab.layer.running import RunningMean
from stable_diffusion_lab.objective.denoiser import base
from stable_diffusion_lab.objective.denoiser.base import Denoiser
from stable_diffusion_lab.objective.denoiser.convolutional import Convolutional
from stable_diffusion_lab.objective.denoiser.mlp import MLP
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.score_difference import ScoreDifference

SHAPES = {"mlp": [(24,), (5, 3), (1, 8, 8)], "convolutional": [(1, 8, 8), (3, 9, 13), (1, 5, 12)]}
MEMBERS = [(name, shape) for name in parts.members("denoiser") for shape in SHAPES[name]]
NARROW = torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
WIDE = torch.tensor([[2.0, -0.3], [-0.3, 0.7]], dtype=torch.float64)


class Gaussian(Denoiser):
    """The exact denoiser of a Gaussian of the plane."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__((2,))
        self.mean, self.covariance = mean, covariance

    def network(self, x: Tensor, level: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        blurred = self.covariance + sigma.square()[:, None, None] * torch.eye(2, dtype=noisy.dtype)
        shift = torch.linalg.solve(blurred, (noisy - self.mean)[..., None])
        return self.mean + (self.covariance @ shift)[..., 0]

    def score(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """grad log density of the Gaussian blurred by sigma, by automatic differentiation."""
        x = noisy.clone().requires_grad_()
        blurred = self.covariance + sigma.square()[:, None, None] * torch.eye(2, dtype=noisy.dtype)
        (slope,) = torch.autograd.grad(MultivariateNormal(self.mean, blurred).log_prob(x).sum(), x)
        return slope


def cloud(n: int, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, *(shape or (2,)), dtype=dtype, generator=torch.Generator().manual_seed(seed))


def exact(drafts: Gaussian, data: Gaussian) -> ScoreDifference:
    objective = ScoreDifference(Identity(), data, drafts).double()
    data.observe(cloud(100) @ torch.linalg.cholesky(data.covariance).T + data.mean)
    return objective


def learnt(shape: tuple[int, ...] = (2,)) -> ScoreDifference:
    return ScoreDifference(Identity(), MLP(shape, 16, 1), MLP(shape, 16, 1))


def noises(n: int) -> tuple[Tensor, Tensor]:
    return cloud(n, seed=7), torch.linspace(0.1, 2, n, dtype=torch.float64)


def test_drafts_follow_the_difference_of_the_blurred_scores() -> None:
    drafts, data = Gaussian(torch.ones(2).double(), WIDE), Gaussian(torch.zeros(2).double(), NARROW)
    objective, x = exact(drafts, data), cloud(9, seed=1)
    noise, sigma = noises(9)
    step, size = objective.step(x, noise, sigma)
    noisy = x + sigma[:, None] * noise
    difference = sigma[:, None].square() * (drafts.score(noisy, sigma) - data.score(noisy, sigma))
    error = (x - data(noisy, sigma)).abs().mean(1, keepdim=True)
    torch.testing.assert_close(step, difference / (error + 0.05 * data.scale()))
    torch.testing.assert_close(size, difference.square().mean().sqrt() / data.scale())


def test_drafts_rest_where_both_distributions_are_equal() -> None:
    mean = torch.tensor([3.0, -1.0], dtype=torch.float64)
    step, size = exact(Gaussian(mean, WIDE), Gaussian(mean, WIDE)).step(cloud(9, seed=1), *noises(9))
    assert step.abs().max() == 0
    assert size == 0


def test_gradient_is_the_step_and_the_value_falls_as_the_distributions_meet() -> None:
    data, values = Gaussian(torch.zeros(2).double(), NARROW), []
    for shift in (0.0, 0.5, 2.0):
        objective = exact(Gaussian(torch.full((2,), shift).double(), NARROW), data)
        x = (cloud(50, seed=1) + shift).requires_grad_()
        torch.manual_seed(0)
        value = objective.follow(x)
        torch.manual_seed(0)
        step, size = objective.step(x.detach(), torch.randn_like(x), objective.levels(x))
        (slope,) = torch.autograd.grad(value, x)
        torch.testing.assert_close(slope, 2 * step / (data.scale() * x.numel()))
        torch.testing.assert_close(value.detach(), size)
        values.append(value.item())
    assert values == sorted(values)
    assert values[0] == 0


def test_gaussian_drafts_flow_onto_gaussian_data() -> None:
    """With both scores exact at every instant, mean and spread of the drafts become those of the data."""
    data = Gaussian(torch.tensor([2.0, -1.0], dtype=torch.float64), NARROW)
    x = cloud(500, seed=1)
    torch.manual_seed(0)
    for _ in range(300):
        objective = exact(Gaussian(x.mean(0), x.T.cov()), data)
        x = x - 0.1 * objective.step(x, torch.randn_like(x), objective.levels(x))[0]
    torch.testing.assert_close(x.mean(0), data.mean, rtol=0, atol=0.1)
    torch.testing.assert_close(x.T.cov(), NARROW, rtol=0, atol=0.1)


def test_each_draft_moves_for_itself_so_that_processes_average_to_one() -> None:
    objective = exact(Gaussian(torch.ones(2).double(), WIDE), Gaussian(torch.zeros(2).double(), NARROW))
    x, (noise, sigma) = cloud(8, seed=1), noises(8)
    halves = [objective.step(x[i::2], noise[i::2], sigma[i::2])[0] for i in range(2)]
    torch.testing.assert_close(
        torch.stack(halves, 1).flatten(0, 1), objective.step(x, noise, sigma)[0], rtol=1e-12, atol=0
    )


def test_units_are_those_of_the_points_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = cloud(8)
    monkeypatch.setattr(base, "gather", lambda points: everyone)
    denoiser = MLP((2,), 4, 1).double()
    denoiser.observe(everyone[:4])
    torch.testing.assert_close(denoiser.centre.value, everyone.mean(0))
    torch.testing.assert_close(denoiser.scale(), (everyone - everyone.mean(0)).square().mean().sqrt())


@pytest.mark.parametrize(("name", "shape"), MEMBERS)
def test_before_it_learns_a_denoiser_knows_the_gaussian_of_its_points(
    name: str, shape: tuple[int, ...]
) -> None:
    denoiser = parts.build("denoiser", name, parts.pair_in_pixels(shape))
    points = 3 + 0.5 * cloud(64, *shape, dtype=torch.float32)
    denoiser.observe(points)
    centre, variance = points.mean(0), (points - points.mean(0)).square().mean()
    noisy, sigma = cloud(5, *shape, dtype=torch.float32), torch.linspace(0.1, 4, 5)
    share = variance / (variance + sigma.square()).view(-1, *[1] * len(shape))
    torch.testing.assert_close(denoiser(noisy, sigma), centre + share * (noisy - centre))
    losses = [denoiser.loss(points, torch.randn_like(points), sigma.repeat(13)[:64]) for _ in range(20)]
    assert torch.stack(losses).mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("name", "shape"), MEMBERS)
def test_denoising_reaches_every_weight_and_mixes_no_points(name: str, shape: tuple[int, ...]) -> None:
    denoiser = parts.build("denoiser", name, parts.pair_in_pixels(shape))
    points = cloud(6, *shape, dtype=torch.float32)
    denoiser.observe(points)
    for weight in denoiser.parameters():
        torch.nn.init.normal_(weight, 0, 0.1)
    sigma = torch.linspace(0.1, 2, 6)
    together = denoiser(points, sigma)
    alone = torch.cat([denoiser(x[None], s[None]) for x, s in zip(points, sigma, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    denoiser.loss(points, torch.randn_like(points), sigma).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in denoiser.parameters())


def test_a_denoiser_learns_the_posterior_mean() -> None:
    torch.manual_seed(0)
    truth, denoiser = Gaussian(torch.tensor([1.0, -2.0]), 4 * NARROW.float()), MLP((2,), 64, 1)
    learn = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    noisy, sigma = truth.mean + 3 * torch.randn(500, 2), torch.rand(500) * 2 + 0.2

    def error() -> float:
        return (denoiser(noisy, sigma) - truth(noisy, sigma)).square().mean().sqrt().item()

    denoiser.observe(truth.mean + torch.randn(4000, 2) @ torch.linalg.cholesky(truth.covariance).T)
    before = error()
    for _ in range(400):
        clean = truth.mean + torch.randn(256, 2) @ torch.linalg.cholesky(truth.covariance).T
        learn.zero_grad()
        denoiser.loss(clean, torch.randn_like(clean), torch.rand(256) * 2 + 0.2).backward()
        learn.step()
    assert error() < 0.2 * before


def test_each_term_reaches_its_own_player() -> None:
    objective, x = learnt(), cloud(6, dtype=torch.float32).requires_grad_()
    terms = objective.terms(x, cloud(7, seed=1, dtype=torch.float32))
    players = {"generator": [x]}
    players |= {name: list(getattr(objective, name).parameters()) for name in terms if name != "generator"}
    assert players.keys() == {"generator", "draft_denoiser", "data_denoiser"}
    for key, term in terms.items():
        for name, leaves in players.items():
            slopes = torch.autograd.grad(term, leaves, retain_graph=True, allow_unused=True)
            assert all((slope is not None) == (name == key) for slope in slopes), f"{key} and {name}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_terms_are_finite_on_extreme_sets(dtype: torch.dtype) -> None:
    x, y = cloud(5).to(dtype), cloud(8, seed=1).to(dtype)
    outlier = torch.cat([x, torch.full((1, 2), 1e4, dtype=dtype)])
    for generated, real in [(outlier, y), (y, outlier), (x[:1], y), (x, y[:1]), (x * 0, y * 0)]:
        objective = learnt().to(dtype)
        for _ in range(2):
            assert all(term.isfinite() for term in objective.terms(generated, real).values())


def test_noise_levels_fill_their_range_evenly_on_the_logarithm() -> None:
    objective = learnt()
    objective.data_denoiser.observe(3 * cloud(1000, dtype=torch.float32))
    levels = (objective.levels(torch.empty(4000, 2)) / objective.data_denoiser.scale()).log().sort().values
    even = torch.linspace(math.log(0.05), math.log(2), 4000)
    assert (levels - even).abs().max() < 0.15


def test_refuses_a_range_without_levels_and_points_of_another_shape() -> None:
    with pytest.raises(ConfigError, match=r"highest: 0\.1 is below lowest: 0\.5"):
        ScoreDifference(Identity(), MLP((2,)), MLP((2,)), lowest=0.5, highest=0.1)
    with pytest.raises(ConfigError, match=r"denoiser\.shape: \[2\], but points are \[3\]"):
        learnt().terms(torch.zeros(4, 3), torch.zeros(4, 3))
    with pytest.raises(ConfigError, match=r"\[24\]; wants \[C, H, W\]"):
        Convolutional((24,))


def file_of_weights(path: Path, wrap: bool = False) -> MLP:
    """A denoiser that has seen something, and the file that it was saved to."""
    denoiser = MLP((2,), 16, 1)
    denoiser.observe(torch.randn(9, 2) + 5)
    torch.nn.init.normal_(denoiser.leave.weight)
    weights = denoiser.state_dict()
    named = {f"objectives.score_difference.data_denoiser.{key}": value for key, value in weights.items()}
    others = {"objectives.score_difference.draft_denoiser.level": torch.zeros(3)}
    torch.save({"state_dict": {**named, **others}, "batches_seen": 3} if wrap else weights, path)
    return denoiser


@pytest.mark.parametrize("wrap", [False, True])
def test_a_pretrained_denoiser_is_loaded_and_stays_as_it_is(wrap: bool, tmp_path: Path) -> None:
    saved = file_of_weights(tmp_path / "denoiser.pt", wrap)
    objective = ScoreDifference(
        Identity(), MLP((2,), 16, 1), MLP((2,), 16, 1), pretrained=str(tmp_path / "denoiser.pt")
    )
    terms = objective.terms(torch.randn(6, 2).requires_grad_(), torch.randn(7, 2))
    assert terms.keys() == {"generator", "draft_denoiser"}
    sum(terms.values()).backward()
    assert not any(p.requires_grad for p in objective.data_denoiser.parameters())
    assert all(p.grad is not None for p in objective.draft_denoiser.parameters())
    for name, value in saved.state_dict().items():
        assert torch.equal(objective.data_denoiser.state_dict()[name], value), name


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        content[content.index(MLP((2,), 16, 1).level.frequencies.numpy().tobytes())] ^= 1
        path.write_bytes(content)
    elif kind == "missing":
        path.unlink()
    elif kind == "text":
        path.write_text("<html>")
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "other sizes":
        torch.save(MLP((3,), 16, 1).state_dict(), path)
    elif kind == "nan":
        torch.save({name: value * math.nan for name, value in MLP((2,), 16, 1).state_dict().items()}, path)


@pytest.mark.parametrize("kind", ["cut", "flipped", "missing", "text", "list", "other sizes", "nan"])
def test_a_file_that_does_not_do_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "denoiser.pt"
    file_of_weights(path)
    damage(path, kind)
    with pytest.raises(CheckpointError, match=str(path)) as caught:
        ScoreDifference(Identity(), MLP((2,), 16, 1), MLP((2,), 16, 1), pretrained=str(path))
    assert len(str(caught.value).splitlines()) == 1


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("run-by-pickle",)


def test_a_file_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"leave.bias": Code()}, "denoiser.pt")
    with pytest.raises(RefusedError, match=r"posix\.mkdir, which could run code"):
        ScoreDifference(Identity(), MLP((2,)), MLP((2,)), pretrained="denoiser.pt")
    assert not Path("run-by-pickle").exists()


def test_running_mean_is_plain_at_first_and_forgets_later() -> None:
    mean = RunningMean((2,), decay=0.75)
    values = cloud(9, dtype=torch.float32)
    for count in range(1, 5):
        current = mean(values[count - 1])
        torch.testing.assert_close(current, values[:count].mean(0))
    later = mean(values[4])
    torch.testing.assert_close(later, 0.75 * current + 0.25 * values[4])
    torch.testing.assert_close(current, values[:4].mean(0))
