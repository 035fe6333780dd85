"""Every objective teaches a generator what data are like: eight Gaussians of known density, and digits."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy
import parts
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.data.density.ring import Ring
from stable_diffusion_lab.data.digits import Digits
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator import mlp
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.latent import Latent
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.metric.frechet import Frechet
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.base import Bound, Refiner
from stable_diffusion_lab.refiner.mlp import MLP
from stable_diffusion_lab.seeding import seeded

LEARNERS = [name for name in parts.objectives() if name != "none"]
SMALL = ["++critic.hidden_dim=64", "denoiser.hidden_dim=64"]


class Wants(NamedTuple):
    """What an objective learns with: points per batch, settings, the players' learning rates, steps."""

    size: int = 256
    words: Sequence[str] = ()
    generator: float = 1e-3
    others: float = 1e-3
    steps: int = 800


def learnt(name: str, pair: Pair, wants: Wants, draw: Callable[[int], Tensor]) -> Generator:
    """The running average of the pair's generator, which has learnt from real points that ``draw`` gives."""
    (objective,) = parts.build("objective", name, pair, *SMALL, *wants.words).values()
    generator = pair.generator
    average = copy.deepcopy(generator).requires_grad_(False)
    groups = [
        {"params": list(generator.parameters()), "lr": wants.generator},
        {"params": list(objective.parameters()), "lr": wants.others},
    ]
    learn = torch.optim.Adam(groups, betas=(0.5, 0.99))
    fall = torch.optim.lr_scheduler.LambdaLR(learn, lambda step: min(1, 2 - 2 * step / wants.steps))
    for step in range(wants.steps):
        noise = torch.randn(wants.size, generator.noise_dim)
        terms = objective(pair, Batch(draw(wants.size), None), Draft(noise, generator(noise)))
        learn.zero_grad()
        sum(terms.values()).backward()
        learn.step()
        fall.step()
        with torch.no_grad():
            for mean, now in zip(average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now, 4 / wants.steps if step > 100 else 1)
    return average


# Eight Gaussians as far apart, in their widths, as those of Grathwohl et al. (2019, FFJORD).
RING = Ring(scale=0.125 * 0.75)
ON_RING = {
    "imle": Wants(128),  # the more real points ask for a draft at once, the wider the modes
    "mmd_linear": Wants(2048),  # a noisy estimate
    "max_sliced_wasserstein": Wants(
        4096, [f"objective.max_sliced_wasserstein.{word}" for word in ("directions=8", "steps=2")]
    ),  # the direction of most noise
    "relativistic": Wants(words=["regularizer.r1.gamma=1", "regularizer.r2.gamma=1"]),
    # Critics, denoisers and inference networks have to keep up with the drafts.
    "density_ratio": Wants(512, others=3e-3),
    "non_saturating": Wants(512, others=3e-3),
    "hinge": Wants(words=["regularizer.r1.gamma=5"], others=3e-3),
    "score_difference": Wants(512, ["objective.score_difference.highest=0.5"], 4e-4, 4e-3),
    "reverse_kl": Wants(256, ["objective.reverse_kl.noise_scale=0.05"], 1e-4, 1e-2, 1600),
}
NOISE = {"reverse_kl": 0.05}  # its bound is on the divergence of drafts with noise


class ExactRing(Refiner):
    """A refiner whose evidence is the ring's log density itself, of which only ``reverse_kl`` asks."""

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(x, torch.zeros_like(x))

    def decode(self, h: Tensor) -> Tensor:
        return h

    def bound(self, clean: Tensor, *_: Tensor) -> Bound:
        return Bound(-RING.log_prob(clean).to(clean), clean.new_zeros(len(clean)))


def divergence_from_ring(points: Tensor) -> float:
    """KL in nats to ``RING``, whose density is exact, of points ``[N, 2]``.

    Their entropy is that of Kozachenko & Leonenko (1987): pi r^2 is the area up to the fifth neighbour.
    """
    places = points.double().numpy()
    radius = cKDTree(places).query(places, 6)[0][:, -1]  # the first is the point itself
    entropy = numpy.log(math.pi * radius**2).mean() + digamma(len(places)) - digamma(5)
    return -entropy.item() - RING.log_prob(points).mean().item()


def occupied(points: Tensor) -> tuple[Tensor, float]:
    """Shares ``[8]`` of points ``[N, 2]`` whose nearest mode it is, and the share within 3 widths of any."""
    away, mode = torch.cdist(points.double(), RING.means).min(dim=1)
    return mode.bincount(minlength=8) / len(points), (away < 3 * RING.scale).double().mean().item()


def turned_ring() -> Latent:
    """A generator that draws ``RING``, turned by 12 degrees."""
    turn = torch.tensor(math.pi / 15)
    rotation = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).view(2, 2).double()
    generator = Latent(2, (2,), components=8, hidden_dim=64, blocks=2)
    generator.start.means.copy_(RING.means @ rotation.T)
    generator.start.factors.mul_(RING.scale)
    generator.bend.scale.fill_(RING.means.std())
    return generator


def test_the_divergence_from_the_ring_is_that_of_gaussians() -> None:
    torch.manual_seed(0)
    assert divergence_from_ring(RING.sample(20_000, torch.default_generator)) == pytest.approx(0, abs=0.02)
    wide = RING.means[torch.randint(8, (20_000,))] + 1.5 * RING.scale * torch.randn(20_000, 2)
    assert divergence_from_ring(wide) == pytest.approx(1.5**2 - 1 - 2 * math.log(1.5), abs=0.05)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_objective_turns_eight_gaussians_back_into_their_places(name: str) -> None:
    torch.manual_seed(0)
    pair = Pair(turned_ring(), ExactRing((2,), 2, RING.scale), Pixels(["draft"]))
    assert divergence_from_ring(pair.generator(torch.randn(20_000, 2)).detach()) > 1
    wants = ON_RING.get(name, Wants())
    average = learnt(name, pair, wants, lambda n: RING.sample(n, torch.default_generator))
    points = average(torch.randn(20_000, 2))
    assert occupied(points)[0].min() > 0.1, "none of eight is missing"
    assert divergence_from_ring(points + NOISE.get(name, 0) * torch.randn_like(points)) < 0.05


# A continuous generator cannot part with what lies between modes. A line from the middle of standard normal
# noise in the plane outwards carries 0.2 per unit of width, eight borders between modes 1.6 w with w the jump
# over the slope there; points amid the ring cost 32 nats each. So KL stays at 0.9 to 1.8 here, and at 0.5 to
# 1.5 with twice the width and the steps. reverse_kl knows that price and is missing: it would rather pay ln 8
# = 2.1 nats for all modes but one, and goes there (a largest share of 0.52 and KL 1.6 from such a blob, 0.50
# and 1.2 from one as wide as the ring, where some mode has nothing).
FROM_BLOB = {
    "imle": Wants(128),  # its modes narrow slowly: 0.66 inside in half the steps
    "max_sliced_wasserstein": ON_RING["max_sliced_wasserstein"]._replace(size=1024, steps=400),  # quicker
}


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "reverse_kl"])
def test_every_objective_parts_one_blob_into_eight_gaussians(name: str) -> None:
    torch.manual_seed(0)
    pair = Pair(mlp.MLP(2, 64, (2,)), ExactRing((2,), 2, RING.scale), Pixels(["draft"]))
    assert occupied(pair.generator(torch.randn(20_000, 2)))[1] < 0.1, "none knows of the ring"
    wants = FROM_BLOB.get(name, ON_RING.get(name, Wants())._replace(steps=400))
    average = learnt(name, pair, wants, lambda n: RING.sample(n, torch.default_generator))
    shares, inside = occupied(average(torch.randn(20_000, 2)))
    assert shares.min() > 1 / 16, "each of eight has half its due at least"
    assert inside > 0.65, "a Gaussian of the ring's mean and variance has 0.41 there"


QUICK = Wants(128, steps=300, others=3e-3)
ON_DIGITS = {
    "relativistic": QUICK._replace(words=["regularizer.r1.gamma=1", "regularizer.r2.gamma=1"]),
    "hinge": QUICK._replace(words=["regularizer.r1.gamma=5"]),
    "score_difference": QUICK._replace(
        words=["objective.score_difference.highest=0.5"], generator=4e-4, others=4e-3
    ),
}


def taught(
    train: Tensor, decoder_scale: float, steps: int, spoil: Callable[[Tensor], Tensor] = lambda clean: clean
) -> MLP:
    """A refiner that has learnt to explain images ``[N, 1, 8, 8]`` by what ``spoil`` leaves of them."""
    with seeded(0):
        refiner = MLP((1, 8, 8), 16, 128, decoder_scale)
        learn = torch.optim.Adam(refiner.parameters(), 2e-3)
        for _ in range(steps):
            clean = train[torch.randint(len(train), (128,))]
            learn.zero_grad()
            (-refiner.elbo(clean, spoil(clean)).mean() / 64).backward()
            learn.step()
    return refiner.requires_grad_(False)


@pytest.fixture(scope="module")
def digits() -> tuple[MLP, Tensor, Tensor]:
    """A refiner that has learnt digits, and images ``[N, 1, 8, 8]`` to learn from and to be held against."""
    data = Digits()
    train, test = (data.modality.to_sample(split.samples) for split in (data.train, data.test))
    return taught(train, 0.1, 300), train, test


def distance(made: Tensor, test: Tensor) -> float:
    """FD of images ``[N, 1, 8, 8]``, pixel by pixel."""
    return Frechet()(test.flatten(1), made.flatten(1))["fd"]


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "reverse_kl"])
def test_every_objective_draws_digits_nearly_as_well_as_the_refiner_repeats_them(
    name: str, digits: tuple[MLP, Tensor, Tensor]
) -> None:
    torch.manual_seed(0)
    refiner, train, test = digits
    size = refiner.latent_dim
    pair = Pair(Latent(size, (size,), components=1, hidden_dim=128, blocks=2), refiner, Latents())
    noise = torch.randn(len(test), size)
    prior, repeated = distance(refiner.decode(noise), test), distance(refiner(test), test)
    assert prior > repeated + 2
    average = learnt(name, pair, ON_DIGITS.get(name, QUICK), lambda n: train[torch.randint(len(train), (n,))])
    assert distance(refiner.decode(average(noise)), test) < repeated + (prior - repeated) / 3


# reverse_kl asks the refiner how probable drafts are: at best they come to be like draws of the refiner's
# prior, and no nearer than its bound is tight. The refiner of above falls short of log p by 20 nats on digits
# and by 38 on draws of its prior: drafts contract (from a tenth of the prior FD 20.5 to 8.7, the prior itself
# 6.3). With noise on what it learns from and a wider likelihood, as by default, the gaps are 5 and 6 nats. An
# inference network of its own cannot tell drafts apart in time, from afar they go to the mean digit (FD 43 to
# 17; with noise_scale=0.4 to 19, with eight importance-weighted draws to 18); the refiner's encoder can from
# the start.
def test_reverse_kl_leads_pixels_to_what_the_refiner_finds_probable(
    digits: tuple[MLP, Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    _, train, test = digits
    refiner = taught(train, 0.2, 800, lambda clean: clean + 0.1 * torch.randn_like(clean))
    pair = Pair(mlp.MLP(refiner.latent_dim, 128, refiner.shape), refiner, Pixels(["draft"]))
    noise = torch.randn(len(test), refiner.latent_dim)
    prior, before = distance(refiner.decode(noise), test), distance(pair.generator(noise).detach(), test)
    assert before > 15 * prior
    wants = Wants(128, ["inference@objective.reverse_kl.inference=encoder"], steps=600)
    average = learnt("reverse_kl", pair, wants, lambda n: train[torch.randint(len(train), (n,))])
    assert distance(average(noise), test) < 2.5 * prior
