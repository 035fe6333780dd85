"""Drafts compared with originals together with what was observed: the posterior, in closed form."""

import re
from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft, Observation
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.by_observation import ByObservation


class Linear(Generator):
    """x = a o + b z."""

    observes = True

    def __init__(self) -> None:
        super().__init__(1, (1,))
        self.a = nn.Parameter(torch.tensor(0.2))
        self.b = nn.Parameter(torch.tensor(0.2))

    def forward(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        assert observed is not None
        return self.a * observed.sample + self.b * noise


def denoiser() -> Pair:
    """A pair that is told numbers in noise; its refiner takes no part."""
    return Pair(Linear(), parts.LinearRefiner((1,), 1), Pixels(["draft"]))


def situation(pair: Pair, n: int) -> tuple[Batch, Draft]:
    """Standard normal numbers ``[n, 1]``, observed in as much noise, and a draft for each."""
    clean, noise, nothing = torch.randn(n, 1), torch.randn(n, 1), torch.zeros(n, 1)
    observed = Observation(clean + torch.randn(n, 1), nothing + 1, nothing)
    return Batch(clean, None), Draft(noise, pair.code(noise, observed), observed)


ELSEWHERE = ("none", "reverse_kl", "imle")  # take no feature, or more drafts
WORDS = ("feature=by_observation", "++data.shape=[1]", "critic.hidden_dim=64")


@pytest.mark.parametrize("name", ["energy_score", *(n for n in parts.objectives() if n not in ELSEWHERE)])
def test_drafts_become_draws_from_the_posterior(name: str) -> None:
    torch.manual_seed(0)
    pair = denoiser()
    (objective,) = parts.build("objective", name, pair, *WORDS).values()
    groups = [
        {"params": list(pair.generator.parameters()), "lr": 2e-2},
        {"params": list(objective.parameters()), "lr": 3e-3},
    ]
    learn = torch.optim.Adam(groups, betas=(0.5, 0.9))
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(learn, 200)
    for _ in range(200):
        learn.zero_grad()
        sum(objective(pair, *situation(pair, 256)).values()).backward()
        learn.step()
        fall.step()
    # p(x | o) is normal with mean o / 2 and variance 1 / 2.
    assert pair.generator.a.item() == pytest.approx(0.5, abs=0.15)
    assert abs(pair.generator.b.item()) == pytest.approx(0.5**0.5, abs=0.15)


def test_no_draft_meets_the_original_it_was_made_for() -> None:
    pair = denoiser()
    batch, draft = situation(pair, 7)
    assert draft.observed is not None
    told = 3 * draft.observed.sample
    ((x, y),) = ByObservation(1, weight=3.0)(pair, batch, draft)
    assert torch.equal(x, torch.cat([draft.code, told], dim=1)[:3])
    assert torch.equal(y, torch.cat([batch.clean, told], dim=1)[3:])


def test_what_cannot_be_compared_by_observation_is_refused() -> None:
    pair, told = parts.pair_in_pixels(), denoiser()
    with pytest.raises(ConfigError, match=r"feature.by_observation: .* nothing is observed; say task=inp"):
        ByObservation(1)(pair, *parts.situation(pair))
    (imle,) = parts.build("objective", "imle", told, *WORDS).values()
    with pytest.raises(ConfigError, match="under imle say feature=identity"):
        imle(told, *situation(told, 8))
    with pytest.raises(ConfigError, match="batches of 2 or more"):
        ByObservation(1)(told, *situation(told, 1))


@pytest.mark.parametrize("objective", ["relativistic", "score_difference"])
def test_critics_and_denoisers_look_at_the_observation(objective: str, tmp_path: Path) -> None:
    words = ["task=denoising", "feature=by_observation", f"objective={objective}", "logger=none"]
    words += ["extractor=random_convolution", "metric=[frechet]", "trainer.max_steps=3", f"runs={tmp_path}"]
    assert main(["train", *words]) == 0


@pytest.mark.parametrize(
    ("objective", "network"), [("hinge", "critic=wavegan"), ("score_difference", "denoiser=mlp")]
)
def test_of_recordings_the_message_says_what_works(objective: str, network: str) -> None:
    pair = Pair(UNet(4, (1, 64), 4, 2, 8), parts.LinearRefiner((1, 64), 6), Pixels(["draft"]))
    observed = Observation(torch.randn(4, 1, 64), torch.ones(4, 1, 64), torch.zeros(4, 1, 64))
    noise = torch.randn(4, pair.generator.noise_dim)
    draft = Draft(noise, pair.code(noise, observed), observed)

    def compared(*words: str) -> dict[str, Tensor]:
        told = ("feature=by_observation", network, *words)
        (loss,) = parts.build("objective", objective, pair, *told).values()
        return loss(pair, Batch(torch.randn(4, 1, 64), None), draft)

    with pytest.raises(ConfigError, match=r"shape: \[1, 65\], but points are \[2, 64\]; say ") as caught:
        compared()
    words = re.findall(r"[\w.]+=[^\s;,]+(?:,\d+\])?", caught.value.args[0])
    assert len(words) == 2 and all(term.isfinite() for term in compared(*words).values())
