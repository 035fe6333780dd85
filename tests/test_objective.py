"""What every objective owes the others, and what each claims about distributions."""

import math
from collections.abc import Iterator
from contextlib import nullcontext

import parts
import pytest
import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.augment.identity import Identity as Unaugmented
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.energy import energy_distance
from stable_diffusion_lab.objective.evidence import Evidence
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.non_saturating import NonSaturating
from stable_diffusion_lab.objective.regularizer.r1 import R1
from stable_diffusion_lab.objective.regularizer.r2 import R2
from stable_diffusion_lab.objective.relativistic import Relativistic, surprise
from stable_diffusion_lab.refiner.mlp import MLP

SAMPLES, PLAIN = Identity(), Unaugmented()
SPACES = {"latents": parts.pair_in_latents, "pixels": parts.pair_in_pixels}
DTYPES = [torch.float32, torch.float64]
ENCODER = "inference@objective.reverse_kl.inference=encoder"
CASES = [(name,) for name in parts.members("objective")] + [("reverse_kl", ENCODER)]


def objectives(case: tuple[str, ...], pair: Pair, dtype: torch.dtype = torch.float32) -> list[Objective]:
    """What the YAML builds: one objective, or none."""
    built = parts.build("objective", case[0], pair, *case[1:])
    assert list(built) == [name for name in case[:1] if name != "none"]
    return [objective.to(dtype) for objective in built.values()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_term_reaches_its_player_and_no_other(
    case: tuple[str, ...], space: str, dtype: torch.dtype
) -> None:
    pair = SPACES[space]()
    for objective in objectives(case, pair, dtype):
        batch, draft = parts.situation(pair, dtype=dtype)
        players = parts.players(pair, objective)
        reached = set()
        for key, term in objective(pair, batch, draft).items():
            assert term.shape == ()
            assert term.isfinite()
            assert term.dtype == dtype
            for name, parameters in players.items():
                slopes = [
                    torch.autograd.grad(term, p, retain_graph=True, allow_unused=True)[0] for p in parameters
                ]
                if name != key.split("/")[0]:
                    assert all(slope is None for slope in slopes), f"{key} reaches {name}"
                    continue
                found = [slope for slope in slopes if slope is not None]
                assert sum(slope.abs().sum() for slope in found) > 0
                assert all(slope.isfinite().all() for slope in found)
                reached |= {p for p, slope in zip(parameters, slopes, strict=True) if slope is not None}
        own = [p for p in objective.parameters() if p.requires_grad]
        assert reached.issuperset(own), "distributed training wants a gradient for each parameter"
        assert reached.issuperset(players["generator"]) or case[0] == "evidence"
        assert all(p.requires_grad for ps in players.values() for p in ps)


@pytest.mark.parametrize("case", CASES)
def test_vectors_and_sequences_are_as_good_as_images(case: tuple[str, ...]) -> None:
    for shape in [(5,), (3, 4)]:
        pair = parts.pair_in_pixels(shape)
        for objective in objectives(case, pair):
            terms = objective(pair, *parts.situation(pair))
            assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("case", CASES)
def test_no_objective_waits_for_the_device(case: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on ``meta`` have no values, so whatever needs one (``item``, ``if``) raises."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # does not know meta
    pair = parts.pair_in_latents()
    for objective in objectives(case, pair):
        batch, draft = parts.situation(pair)
        pair.to("meta")
        clean, noise = batch.clean.to("meta"), draft.noise.to("meta")
        terms = objective.to("meta")(pair, Batch(clean, None), Draft(noise, pair.generator(noise)))
        sum(terms.values()).backward()


class Points(Generator):
    """A generator without a network: a cloud of points, whatever the noise."""

    def __init__(self, points: Tensor) -> None:
        super().__init__(1, tuple(points.shape[1:]))
        self.points = nn.Parameter(points)

    def forward(self, noise: Tensor) -> Tensor:
        return self.points[: len(noise)]


class Slope(nn.Module):
    """D(x) = w x, the critic of the Dirac game."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def dirac_game(objective: Objective, steps: int) -> Tensor:
    """Distance from equilibrium after simultaneous descent of a draft at 0.1; data is the point 0."""
    pair = Pair(
        Points(torch.full((1, 1), 0.1, dtype=torch.float64)), parts.LinearRefiner((1,), 1), Pixels(["draft"])
    )
    learn = torch.optim.SGD([*pair.generator.parameters(), *objective.parameters()], lr=0.1)
    for _ in range(steps):
        noise = torch.zeros(1, 1, dtype=torch.float64)
        batch = Batch(torch.zeros(1, 1, dtype=torch.float64), None)
        learn.zero_grad()
        sum(objective(pair, batch, Draft(noise, pair.generator(noise))).values()).backward()
        learn.step()
    return torch.cat([pair.generator.points.flatten(), *objective.parameters()]).norm()


@pytest.mark.parametrize("member", [NonSaturating, Relativistic])
def test_only_the_penalty_makes_the_dirac_game_converge(member: type) -> None:
    """Mescheder et al. (2018): without R1 simultaneous descent runs away, with it it converges."""
    penalties = {"r1": R1(1.0), "r2": R2(1.0)}
    assert dirac_game(member(SAMPLES, Slope(0.1), {}, PLAIN), 500) > 0.2
    assert dirac_game(member(SAMPLES, Slope(0.1), penalties, PLAIN), 500) < 1e-3


def test_losses_where_the_critic_knows_nothing() -> None:
    pair, zero = parts.pair_in_pixels((1,)), Slope(0.0)
    batch, draft = parts.situation(pair, dtype=torch.float64)
    ln2 = math.log(2)
    game = NonSaturating(SAMPLES, zero, {}, PLAIN)(pair, batch, draft)
    assert [game["generator"].item(), game["critic"].item()] == pytest.approx([ln2, 2 * ln2])
    game = Relativistic(SAMPLES, zero, {}, PLAIN)(pair, batch, draft)
    assert [game["generator"].item(), game["critic"].item()] == pytest.approx([ln2, ln2])


def test_relativistic_sees_differences_only_and_every_pair() -> None:
    a, b = torch.randn(3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    pairs = [math.log1p(math.exp(p - q)) for p in a.tolist() for q in b.tolist()]
    torch.testing.assert_close(surprise(a, b).item(), sum(pairs) / 15)
    torch.testing.assert_close(surprise(a + 7, b + 7), surprise(a, b))
    assert surprise(a, b) - surprise(b, a) == pytest.approx((a.mean() - b.mean()).item())


def test_non_saturating_loss_is_the_logistic_likelihood() -> None:
    """softplus(-D) = -log sigmoid(D), and it still pulls where the critic is sure: slope -1."""
    d = torch.linspace(-30, 5, 11, dtype=torch.float64, requires_grad=True)
    loss = NonSaturating(SAMPLES, Slope(0.0), {}, PLAIN).generator_loss(d, d)
    torch.testing.assert_close(loss, -d.sigmoid().log().mean())
    assert torch.autograd.grad(loss, d)[0][0] == pytest.approx(-1 / 11)


def folded_normal(mean: float, scale: float) -> float:
    """E |N(mean, scale^2)|."""
    ratio = mean / scale
    return scale * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + mean * math.erf(ratio / 2**0.5)


def quantiles(n: int) -> Tensor:
    """A standard normal sample ``[n, 1]`` without luck."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(levels)[:, None]


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_energy_distance_of_two_gaussians(mean: float, scale: float) -> None:
    x, y = mean + scale * quantiles(600), quantiles(500)
    exact = 2 * folded_normal(mean, (1 + scale**2) ** 0.5)
    exact -= folded_normal(0, 2**0.5 * scale) + folded_normal(0, 2**0.5)
    assert energy_distance(x, y).item() == pytest.approx(exact, abs=0.01)


def test_energy_distance_is_unbiased_on_tiny_batches() -> None:
    torch.manual_seed(0)
    draws = [energy_distance(torch.randn(3, 2), torch.randn(4, 2)) for _ in range(1000)]
    draws = torch.stack(draws)
    assert abs(draws.mean()) < 4 * draws.std() / 1000**0.5


def test_energy_distance_has_the_gradient_of_its_value() -> None:
    x, y = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda points: energy_distance(points, y), x)


def test_energy_distance_is_symmetric_and_moves_and_scales_with_the_points() -> None:
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    value = energy_distance(x, y)
    torch.testing.assert_close(energy_distance(y, x), value)
    torch.testing.assert_close(energy_distance(3 * x + 10, 3 * y + 10), 3 * value)


def ring(n: int) -> Tensor:
    """Eight Gaussians on a circle, ``[n, 2]``."""
    angle = torch.randint(8, (n,)) * math.pi / 4
    return 0.8 * torch.stack([angle.cos(), angle.sin()], 1) + 0.03 * torch.randn(n, 2)


class Curve(Generator):
    """A small network from noise to points of the plane."""

    def __init__(self) -> None:
        super().__init__(4, (2,))
        self.net = mlp(4, 32, 2, activation=nn.SiLU)

    def forward(self, noise: Tensor) -> Tensor:
        return self.net(noise)


def descend(losses: Iterator[Tensor], parameters: list[nn.Parameter]) -> None:
    learn = torch.optim.Adam(parameters, lr=5e-3, betas=(0.5, 0.99))
    for loss in losses:
        learn.zero_grad()
        loss.backward()
        learn.step()


def distance_to_ring(pair: Pair) -> float:
    return energy_distance(pair.draft(torch.randn(800, 4)).detach(), ring(800)).item()


LEARNERS = [name for name in parts.members("objective") if name not in ("none", "evidence")]


@pytest.mark.parametrize("name", LEARNERS)
def test_every_objective_moves_drafts_to_a_ring_of_gaussians(name: str) -> None:
    torch.manual_seed(0)
    pair = Pair(Curve(), MLP((2,), 4, 32, 0.1), Pixels(["draft"]))
    (objective,) = parts.build("objective", name, pair, "critic.hidden_dim=64").values()
    none = Draft(torch.empty(0, 4), torch.empty(0, 2))
    evidence = (Evidence()(pair, Batch(ring(64), None), none)["refiner"] for _ in range(300))
    descend(evidence, list(pair.refiner.parameters()))
    before = distance_to_ring(pair)

    def losses() -> Iterator[Tensor]:
        for _ in range(200):
            noise = torch.randn(64, 4)
            terms = objective(pair, Batch(ring(64), None), Draft(noise, pair.generator(noise)))
            yield sum(terms.values())

    descend(losses(), [*pair.generator.parameters(), *objective.parameters()])
    assert distance_to_ring(pair) < 0.35 * before
