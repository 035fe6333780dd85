"""Games against a critic: their losses, where they end, and the divergences that a density ratio gives."""

import math
from collections.abc import Callable

import parts
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.objective.augment.identity import Identity as Unaugmented
from stable_diffusion_lab.objective.density_ratio import DIVERGENCES, DensityRatio
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.hinge import Hinge
from stable_diffusion_lab.objective.least_squares import LeastSquares
from stable_diffusion_lab.objective.non_saturating import NonSaturating
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.regularizer.gradient_penalty import GradientPenalty
from stable_diffusion_lab.objective.regularizer.r1 import R1
from stable_diffusion_lab.objective.regularizer.r1_finite_difference import R1FiniteDifference
from stable_diffusion_lab.objective.regularizer.r2 import R2
from stable_diffusion_lab.objective.relativistic import Relativistic, surprise
from stable_diffusion_lab.objective.wasserstein_gp import Wasserstein

SAMPLES, PLAIN = Identity(), Unaugmented()
GAMES = [NonSaturating, Relativistic, Hinge, LeastSquares, Wasserstein, DensityRatio]
LN2 = math.log(2)


class Points(Generator):
    """A generator without a network: a cloud of points, whatever the noise."""

    def __init__(self, points: Tensor) -> None:
        super().__init__(1, tuple(points.shape[1:]))
        self.points = nn.Parameter(points)

    def forward(self, noise: Tensor) -> Tensor:
        return self.points[: len(noise)]


class Line(nn.Module):
    """D(x) = w x + b, the critic of the Dirac game."""

    def __init__(self, w: float, b: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w + self.b


def dirac_game(member: type[Adversarial], regularizers: dict[str, Regularizer], steps: int = 200) -> float:
    """Distance from equilibrium after simultaneous descent of a draft at 0.1; data is the point 0."""
    critic = Line(0.1)
    game = member(SAMPLES, critic, regularizers, PLAIN)
    points = Points(torch.full((1, 1), 0.1, dtype=torch.float64))
    pair = Pair(points, parts.LinearRefiner((1,), 1), Pixels(["draft"]))
    learn = torch.optim.SGD([*points.parameters(), *game.parameters()], lr=0.1)
    for _ in range(steps):
        noise = torch.zeros(1, 1, dtype=torch.float64)
        batch = Batch(torch.zeros(1, 1, dtype=torch.float64), None)
        learn.zero_grad()
        sum(game(pair, batch, Draft(noise, pair.generator(noise))).values()).backward()
        learn.step()
    return torch.cat([points.points.flatten(), critic.w]).norm().item()


@pytest.mark.parametrize("member", GAMES)
def test_only_the_penalty_makes_the_dirac_game_converge(member: type[Adversarial]) -> None:
    """Mescheder et al. (2018): without R1 simultaneous descent runs away, with it it converges."""
    assert dirac_game(member, {}, steps=500) > 0.2
    assert dirac_game(member, {"r1": R1(1.0)}) < 1e-3


def test_other_zero_centred_penalties_end_the_game_as_well() -> None:
    assert dirac_game(Relativistic, {"r1": R1(1.0), "r2": R2(1.0)}, steps=500) < 1e-3
    assert dirac_game(NonSaturating, {"r1": R1FiniteDifference(1.0)}, steps=500) < 1e-3


def test_only_the_zero_centred_penalty_ends_the_wasserstein_game() -> None:
    """Mescheder et al. (2018): players who may keep slopes of 1 circle about equilibrium."""
    assert dirac_game(Wasserstein, {"penalty": GradientPenalty(1.0, target=1.0)}) > 0.1
    assert dirac_game(Wasserstein, {"penalty": GradientPenalty(1.0, target=0.0)}) < 1e-3


@pytest.mark.parametrize(
    ("member", "generator", "critic"),
    [
        (NonSaturating, LN2, 2 * LN2),
        (Relativistic, LN2, LN2),
        (Hinge, 0, 2),
        (LeastSquares, 1 / 2, 1 / 2),
        (Wasserstein, 0, 0),
        (DensityRatio, 0, 2 * LN2),
    ],
)
def test_losses_where_the_critic_knows_nothing(
    member: type[Adversarial], generator: float, critic: float
) -> None:
    pair = parts.pair_in_pixels((1,))
    batch, draft = parts.situation(pair, dtype=torch.float64)
    game = member(SAMPLES, Line(0.0), {}, PLAIN)(pair, batch, draft)
    assert [game["generator"].item(), game["critic"].item()] == pytest.approx([generator, critic])


def test_relativistic_sees_differences_only_and_every_pair() -> None:
    a, b = torch.randn(3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    pairs = [math.log1p(math.exp(p - q)) for p in a.tolist() for q in b.tolist()]
    torch.testing.assert_close(surprise(a, b).item(), sum(pairs) / 15)
    torch.testing.assert_close(surprise(a + 7, b + 7), surprise(a, b))
    assert surprise(a, b) - surprise(b, a) == pytest.approx((a.mean() - b.mean()).item())


def test_non_saturating_loss_is_the_logistic_likelihood() -> None:
    """softplus(-D) = -log sigmoid(D), and it still pulls where the critic is sure: slope -1."""
    d = torch.linspace(-30, 5, 11, dtype=torch.float64, requires_grad=True)
    loss = NonSaturating(SAMPLES, Line(0.0), {}, PLAIN).generator_loss(d, d)
    torch.testing.assert_close(loss, -d.sigmoid().log().mean())
    assert torch.autograd.grad(loss, d)[0][0] == pytest.approx(-1 / 11)


def test_hinge_critic_learns_within_its_margins_only() -> None:
    d = torch.tensor([-3.0, -0.5, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    game = Hinge(SAMPLES, Line(0.0), {}, PLAIN)
    of_generated = torch.autograd.grad(game.critic_loss(d, torch.zeros(2)), d)[0]
    of_real = torch.autograd.grad(game.critic_loss(torch.zeros(2), d), d)[0]
    assert of_generated.tolist() == [0, 1 / 4, 1 / 4, 1 / 4]
    assert of_real.tolist() == [-1 / 4, -1 / 4, -1 / 4, 0]
    assert torch.autograd.grad(game.generator_loss(d, d), d)[0].tolist() == [-1 / 4] * 4


def quantiles(n: int) -> Tensor:
    """A standard normal sample ``[n]`` without luck."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(levels)


# Data is N(0, 1), the generator's distribution N(MEAN, 1): their log ratio is a line.
MEAN = 0.6
SAMPLE = quantiles(400_000)


def log_ratio(x: Tensor) -> Tensor:
    return MEAN**2 / 2 - MEAN * x


def slope_at_optimum(
    member: type[Adversarial], critic: Callable[[Tensor], Tensor], direction: Tensor
) -> float:
    """Slope of the critic's loss when its values change by a * D'(x) for small a, at a = 0."""
    a = torch.zeros((), dtype=torch.float64, requires_grad=True)
    x, y = MEAN + SAMPLE, SAMPLE
    change = direction[0] + direction[1] * torch.stack([x, y])
    game = member(SAMPLES, Line(0.0), {}, PLAIN)
    loss = game.critic_loss(critic(x) + a * change[0], critic(y) + a * change[1])
    return torch.autograd.grad(loss, a)[0].item()


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.3, -0.8)])
def test_optimal_critics(direction: tuple[float, float]) -> None:
    """Logistic critics become log p_data/p_theta, those of least squares p_data/(p_data + p_theta)."""
    change = torch.tensor(direction)
    assert slope_at_optimum(DensityRatio, log_ratio, change) == pytest.approx(0, abs=1e-4)
    assert slope_at_optimum(NonSaturating, log_ratio, change) == pytest.approx(0, abs=1e-4)
    share = slope_at_optimum(LeastSquares, lambda x: log_ratio(x).sigmoid(), change)
    assert share == pytest.approx(0, abs=1e-4)
    assert abs(slope_at_optimum(LeastSquares, log_ratio, change)) > 0.01


def test_wasserstein_critic_bounds_the_distance() -> None:
    """Unit slopes against the shift give all of it: W_1 of two shifted distributions is the shift."""
    game = Wasserstein(SAMPLES, Line(0.0), {}, PLAIN)
    x, y = MEAN + SAMPLE, SAMPLE
    assert -game.critic_loss(-x, -y).item() == pytest.approx(MEAN)
    assert -game.critic_loss(x.sin(), y.sin()).item() < MEAN


def jensen_shannon(mean: float) -> float:
    """By quadrature."""
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    log_p, log_q = -(x**2) / 2, -((x - mean) ** 2) / 2
    log_m = torch.logaddexp(log_p, log_q) - LN2
    integrand = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return torch.trapezoid(integrand, x).item() / 2 / math.sqrt(2 * math.pi)


EXACT: dict[str, Callable[[float], float]] = {
    "reverse_kl": lambda m: m**2 / 2,
    "kl": lambda m: m**2 / 2,
    "jensen_shannon": jensen_shannon,
    "pearson": lambda m: math.exp(m**2) - 1,
    "squared_hellinger": lambda m: 2 - 2 * math.exp(-(m**2) / 8),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_exact_ratio_gives_the_divergence_and_its_gradient(name: str) -> None:
    """With the exact critic, the gradient for the generator's mean is that of the closed form."""
    mean = torch.tensor(MEAN, dtype=torch.float64, requires_grad=True)
    game = DensityRatio(SAMPLES, Line(0.0), {}, PLAIN, divergence=name)
    x = mean + SAMPLE
    term = game.generator_loss(log_ratio(x), x)
    exact, step = EXACT[name], 1e-4
    assert term.item() == pytest.approx(exact(MEAN), rel=1e-3)
    slope = (exact(MEAN + step) - exact(MEAN - step)) / (2 * step)
    assert torch.autograd.grad(term, mean)[0].item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_path_is_f_minus_r_times_its_derivative(name: str) -> None:
    """d f/d log r = r f'(r), so h = f - d f/d T, up to a constant."""
    t = torch.linspace(-4, 4, 17, dtype=torch.float64, requires_grad=True)
    value = DIVERGENCES[name].value(t, t.exp())
    (slope,) = torch.autograd.grad(value.sum(), t)
    rest = DIVERGENCES[name].path(t, t.exp()) - (value - slope)
    torch.testing.assert_close(rest, rest[:1].expand(17), rtol=1e-9, atol=1e-9)
    assert value.min() >= -1e-12 or "kl" in name
    assert value[8].item() == pytest.approx(0, abs=1e-12)  # f(1) = 0


@pytest.mark.parametrize("name", DIVERGENCES)
def test_ratios_beyond_the_limit_are_held_constant(name: str) -> None:
    t = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    term = DensityRatio(SAMPLES, Line(0.0), {}, PLAIN, divergence=name, limit=5.0).generator_loss(t, t)
    (slope,) = torch.autograd.grad(term, t)
    assert term.isfinite() and slope.isfinite().all()
    assert (slope[2] == 0) == (name not in ("reverse_kl", "jensen_shannon"))
    assert slope[1] < 0


def test_jensen_shannon_is_the_saturating_game() -> None:
    """Up to its factor and constant: E log(1 - sigmoid(D)) (Goodfellow et al. 2014)."""
    t = torch.linspace(-5, 5, 11, dtype=torch.float64, requires_grad=True)
    game = DensityRatio(SAMPLES, Line(0.0), {}, PLAIN, divergence="jensen_shannon")
    slopes = [torch.autograd.grad(it, t)[0] for it in (game.generator_loss(t, t), -softplus(t).mean() / 2)]
    torch.testing.assert_close(slopes[0], slopes[1])


def slope_along(value: Callable[[], Tensor], at: Tensor, direction: Tensor) -> float:
    """Derivative of a value by central differences; ``at`` is moved, and put back."""
    found = []
    for step in (1e-5, -1e-5):
        at.data.add_(direction, alpha=step)
        found.append(value().item())
        at.data.sub_(direction, alpha=step)
    return (found[0] - found[1]) / 2e-5


@pytest.mark.parametrize("member", GAMES)
def test_each_term_has_the_gradient_of_its_value(member: type[Adversarial]) -> None:
    """For the critic through both penalties, which takes second derivatives, and for the generator."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    game = member(SAMPLES, critic, {"r1": R1(0.7), "r2": R2(0.3)}, PLAIN)
    x, y = torch.randn(5, 3).double().requires_grad_(), torch.randn(4, 3).double()
    weight = critic[0].weight
    for player, at in (("critic", weight), ("generator", x)):
        direction = torch.randn_like(at)
        (slope,) = torch.autograd.grad(game.terms(x, y)[player], at)
        expected = slope_along(lambda player=player: game.terms(x, y)[player], at, direction)
        assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-6)
