"""What every objective owes the others, and what each claims about distributions."""

import math
from contextlib import nullcontext

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.energy import energy_distance

SPACES = {"latents": parts.pair_in_latents, "pixels": parts.pair_in_pixels}
DTYPES = [torch.float32, torch.float64]
ENCODER = "inference@objective.reverse_kl.inference=encoder"
TURNED = "objective@refinement.refined.objectives"
CASES = [
    *(("objective", name) for name in parts.objectives()),
    *(("refinement", name) for name in parts.members("refinement") if name not in parts.PAIRED),
    ("objective", "reverse_kl", ENCODER),
    ("refinement", "refined", f"{TURNED}=imle"),
]


def objectives(case: tuple[str, ...], pair: Pair, dtype: torch.dtype = torch.float32) -> list[Objective]:
    """What the YAML builds: one objective, or none."""
    group, name, *words = case
    built = parts.build(group, name, pair, *words)
    assert list(built) == [name] * (name != "none")
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
        assert reached.issuperset(players["generator"]) or case[0] == "refinement"
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
    monkeypatch.setattr(torch.Tensor, "new_tensor", None)  # copies to the device, and waits until it has them
    pair = parts.pair_in_latents()
    for objective in objectives(case, pair):
        batch, draft = parts.situation(pair)
        pair.to("meta")
        clean, noise = batch.clean.to("meta"), draft.noise.to("meta")
        objective.to("meta")
        with parts.NothingSent():
            terms = objective(pair, Batch(clean, None), Draft(noise, pair.generator(noise)))
        sum(terms.values()).backward()


def test_the_refiner_learns_against_a_critic_of_its_own() -> None:
    pair = parts.pair_in_pixels()
    (objective,) = parts.build("refinement", "refined", pair, f"{TURNED}=hinge").values()
    batch, draft = parts.situation(pair)
    players = {name: found for name, found in parts.players(pair, objective).items() if found}
    terms = objective(pair, batch, draft)
    assert set(terms) == {"refiner/hinge", "critic/hinge"}
    for key, term in terms.items():
        for name, parameters in players.items():
            slopes = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            moved = any(slope is not None and slope.any() for slope in slopes)
            assert moved == (name == key.split("/")[0])


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
