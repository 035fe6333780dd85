"""What holds a critic back: closed forms of each, and all of them with every adversarial objective."""

import copy
from functools import cache

import parts
import pytest
import torch
import yaml
from hydra.utils import get_class
from torch import Tensor, nn

from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.objective.augment.diff_augment import DiffAugment
from stable_diffusion_lab.objective.critic.base import Critic
from stable_diffusion_lab.objective.critic.convolutional import Convolutional
from stable_diffusion_lab.objective.critic.mlp import MLP
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.regularizer.gradient_penalty import GradientPenalty
from stable_diffusion_lab.objective.regularizer.lecam import LeCam
from stable_diffusion_lab.objective.regularizer.r1_finite_difference import R1FiniteDifference
from stable_diffusion_lab.objective.regularizer.spectral_norm import SpectralNorm
from stable_diffusion_lab.objective.verdict import Verdict

SPACES = {"latents": parts.pair_in_latents, "pixels": parts.pair_in_pixels}


def adversarial() -> list[str]:
    """Names of the objectives that have a critic to hold back."""
    files = {name: parts.CONF / "objective" / f"{name}.yaml" for name in parts.members("objective")}
    nodes = {name: (yaml.safe_load(file.read_text()) or {}).get(name) for name, file in files.items()}
    return [
        name for name, node in nodes.items() if node and issubclass(get_class(node["_target_"]), Adversarial)
    ]


@cache
def built(group: str, name: str, space: str, *overrides: str) -> dict[str, nn.Module]:
    """Composing is slow, so each file is read once."""
    return parts.build(group, name, SPACES[space](), *overrides)


def unregularized(name: str, space: str) -> Adversarial:
    (game,) = built("objective", name, space, "regularizer=none").values()
    return copy.deepcopy(game)


def regularizers(name: str) -> dict[str, Regularizer]:
    return copy.deepcopy(built("regularizer", name, "latents"))


def cloud(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def verdict(critic: nn.Module, points: Tensor) -> Verdict:
    points = points.clone().requires_grad_()
    return Verdict(points, critic(points))


class Plane(nn.Module):
    """D(x) = w x."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.slope


class Bowl(nn.Module):
    """D(x) = a |x|^2 / 2, of slope a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.square().sum(dim=1) / 2


@pytest.mark.parametrize("regularizer", parts.members("regularizer"))
@pytest.mark.parametrize("objective", adversarial())
@pytest.mark.parametrize("space", SPACES)
def test_every_regularizer_suits_every_adversarial_objective(
    regularizer: str, objective: str, space: str
) -> None:
    pair, game = SPACES[space](), unregularized(objective, space)
    for name, each in regularizers(regularizer).items():
        game.regularizers[name] = each
        each.attach(game.critic)
    terms = game(pair, *parts.situation(pair))
    assert set(terms) == {"generator", "critic"}
    assert all(term.isfinite() for term in terms.values())
    own = list(game.critic.parameters())
    others = [*pair.parameters(), *game.regularizers.parameters()]
    slopes = torch.autograd.grad(terms["critic"], own, retain_graph=True)
    assert all(slope.isfinite().all() for slope in slopes)
    assert sum(slope.abs().sum() for slope in slopes) > 0
    reached = torch.autograd.grad(terms["critic"], others, retain_graph=True, allow_unused=True)
    assert all(slope is None for slope in reached)
    reached = torch.autograd.grad(terms["generator"], own, allow_unused=True)
    assert all(slope is None for slope in reached)


@pytest.mark.parametrize(("n", "m"), [(4, 7), (7, 4), (1, 1)])
def test_gradient_penalty_of_a_plane_is_its_slope_from_the_target(n: int, m: int) -> None:
    critic = Plane(cloud(3))
    x, y = verdict(critic, cloud(n, 3)), verdict(critic, cloud(m, 3))
    penalty = GradientPenalty(5.0, 0.5)(critic, x, y)
    torch.testing.assert_close(penalty, 5 * (critic.slope.norm() - 0.5) ** 2)


def test_gradient_penalty_looks_between_the_points() -> None:
    """In a bowl the slope is the point itself: its squared mean over the segment from 0 to 3 is 3."""
    torch.manual_seed(0)
    critic = Bowl(1.0)
    zeros, threes = torch.zeros(20_000, 1, dtype=torch.float64), torch.full((20_000, 1), 3.0).double()
    penalty = GradientPenalty(1.0, 0.0)(critic, verdict(critic, zeros), verdict(critic, threes))
    assert penalty.item() == pytest.approx(3.0, rel=0.03)


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    critic = Plane(torch.zeros(3, dtype=torch.float64))
    x = verdict(critic, cloud(4, 3))
    penalty = GradientPenalty(1.0, 1.0)(critic, x, x)
    assert penalty == 1
    assert torch.autograd.grad(penalty, critic.slope)[0].isfinite().all()


def test_lecam_holds_each_side_to_where_the_other_was() -> None:
    critic, lecam = Plane(cloud(2)), LeCam(weight=0.5, decay=0.9).double()
    sides = [
        (verdict(critic, cloud(4, 2, seed=s)), verdict(critic, cloud(5, 2, seed=9 + s))) for s in range(3)
    ]
    terms = [lecam(critic, x, y) for x, y in sides]
    a = torch.stack([x.logits.mean() for x, _ in sides]).mean()  # plain means in the beginning
    b = torch.stack([y.logits.mean() for _, y in sides]).mean()
    x, y = (side.logits for side in sides[-1])
    torch.testing.assert_close(terms[-1], 0.5 * ((y - a).square().mean() + (x - b).square().mean()))
    a, b = a.detach(), b.detach()  # the averages are constants
    expected = 0.5 * ((y - a).square().mean() + (x - b).square().mean())
    found, wanted = (torch.autograd.grad(it, critic.slope, retain_graph=True) for it in (terms[-1], expected))
    torch.testing.assert_close(found, wanted)


def test_lecam_remembers_over_a_checkpoint() -> None:
    critic, lecam, other = Plane(cloud(2)), LeCam().double(), LeCam().double()
    x, y = verdict(critic, cloud(4, 2)), verdict(critic, cloud(5, 2, seed=1) + 3)
    lecam(critic, y, x)
    other.load_state_dict(lecam.state_dict())
    assert other(critic, x, y) == lecam(critic, x, y) != LeCam().double()(critic, x, y)


CRITICS = {"mlp": lambda: MLP((6,), 16), "convolutional": lambda: Convolutional((2, 8, 8), width=4)}


def norms(critic: Critic) -> Tensor:
    """Largest singular value of each weight."""
    weights = [m.weight.flatten(1) for m in critic.modules() if hasattr(m, "parametrizations")]
    return torch.stack([torch.linalg.svdvals(weight)[0] for weight in weights])


@pytest.mark.parametrize("name", CRITICS)
def test_spectral_norm_makes_every_layer_one(name: str) -> None:
    torch.manual_seed(0)
    critic = CRITICS[name]()
    layers = sum(isinstance(m, nn.Linear | nn.Conv2d) for m in critic.modules())
    for p in critic.parameters():
        p.data *= 3
    regularizer = SpectralNorm()
    regularizer.attach(critic)
    x = torch.randn(5, *critic.shape)
    for _ in range(100):
        critic(x)
    assert len(norms(critic)) == layers
    torch.testing.assert_close(norms(critic), torch.ones(layers), rtol=1e-3, atol=0)
    term = regularizer(critic, verdict(critic, x), verdict(critic.double(), x.double()))
    assert term == 0 and term.shape == () and term.dtype == torch.float64


def test_spectral_norm_survives_copies_checkpoints_and_bfloat16() -> None:
    critic, fresh = MLP((6,), 16), MLP((6,), 16)
    for each in (critic, fresh):
        SpectralNorm().attach(each)
    fresh.load_state_dict(critic.state_dict())
    twin, x = copy.deepcopy(critic), torch.randn(5, 6)
    assert torch.equal(critic(x), twin(x))
    assert torch.equal(critic(x), [fresh(x), fresh(x)][1])
    assert not {id(p) for p in critic.parameters()} & {id(p) for p in twin.parameters()}
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(x).isfinite().all()


def test_finite_difference_is_r1_on_average() -> None:
    torch.manual_seed(0)
    critic, copies = MLP((4,), 16).double(), 20_000
    critic.net = nn.Sequential(*[nn.Tanh() if isinstance(m, nn.LeakyReLU) else m for m in critic.net])
    y = verdict(critic, cloud(3, 4).repeat(copies, 1))
    exact = 0.7 / 2 * y.penalty()
    term = R1FiniteDifference(gamma=0.7, scale=1e-3)(critic, y, y)
    assert term.item() == pytest.approx(exact.item(), rel=0.03)  # 4 standard errors
    own = list(critic.parameters())
    for found, wanted in zip(
        torch.autograd.grad(term, own, allow_unused=True),
        torch.autograd.grad(exact, own, allow_unused=True),
        strict=True,
    ):
        if wanted is not None:  # the last bias has no slope
            torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.05 * wanted.abs().max().item())


def test_finite_difference_of_a_plane_is_exact_for_each_direction() -> None:
    """(w e)^2 over the very e that was drawn, whatever the step."""
    critic, gamma = Plane(cloud(3)), 2.0
    y = verdict(critic, cloud(5, 3))
    for scale in (1e-2, 10.0):
        torch.manual_seed(1)
        term = R1FiniteDifference(gamma, scale)(critic, y, y)
        torch.manual_seed(1)
        expected = (torch.randn_like(y.points) @ critic.slope).square().mean()
        torch.testing.assert_close(term, expected)


def test_finite_difference_sees_one_augmentation() -> None:
    torch.manual_seed(0)
    augment, plane = DiffAugment(), Plane(cloud(64))
    game = nn.Sequential(augment, plane)
    y = verdict(game, cloud(50, 1, 8, 8))
    slopes = [R1FiniteDifference(2.0, scale)(game, y, y).item() for scale in (1e-4, 1e-2)]
    # Were the two sides augmented apart, their difference would not shrink with the step.
    assert slopes[0] < 10 * slopes[1]
    assert slopes[0] < 10 * plane.slope.square().sum()


def test_finite_difference_works_where_a_second_derivative_is_missing() -> None:
    critic = MLP((4,), 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = verdict(critic, torch.randn(8, 4))
        term = R1FiniteDifference(scale=0.1)(critic, y, y)
    term.backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters() if p.grad is not None)


def test_finite_difference_learns_through_a_compiled_critic_where_r1_cannot() -> None:
    plain = nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0))
    points, terms = torch.randn(16, 3), []
    critic = torch.compile(plain, backend="aot_eager")
    for game in (plain, critic):
        torch.manual_seed(0)
        y = verdict(game, points)
        terms.append(R1FiniteDifference()(game, y, y))
    slopes = [torch.autograd.grad(term, plain[0].weight)[0] for term in terms]
    torch.testing.assert_close(slopes[1], slopes[0])
    with pytest.raises(RuntimeError, match="double backward"):
        verdict(critic, points).penalty().backward()
