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
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.energy import energy_distance
from stable_diffusion_lab.objective.evidence import Evidence
from stable_diffusion_lab.refiner.mlp import MLP

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
    evidence = (sum(Evidence()(pair, Batch(ring(64), None), none).values()) for _ in range(300))
    descend(evidence, list(pair.refiner.parameters()))
    before = distance_to_ring(pair)

    def losses() -> Iterator[Tensor]:
        for _ in range(200):
            noise = torch.randn(64, 4)
            terms = objective(pair, Batch(ring(64), None), Draft(noise, pair.generator(noise)))
            yield sum(terms.values())

    descend(losses(), [*pair.generator.parameters(), *objective.parameters()])
    assert distance_to_ring(pair) < 0.35 * before
