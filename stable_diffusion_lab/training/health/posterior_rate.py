"""A posterior that is the prior."""

from typing import ClassVar, Literal

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.training.health.base import Findings, Symptom


class PosteriorRate(Symptom):
    """Mean KL(q(h | x) || p(h)) of a held-out sample in nats: no less than latents say about samples.

    Args:
        least: smallest healthy value in nats.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "refiner"
    meaning = "the refiner's posterior has collapsed: latents say nothing about the sample"
    advice = "lower refiner.decoder_scale, which weighs the divergence, or give refinement.evidence.free_bits"

    def __init__(self, least: NonNegativeFloat = 0.1) -> None:
        self.least = least

    def measure(self, findings: Findings) -> float | None:
        return findings.posterior.kl().mean().item()

    def complaint(self, value: float) -> str | None:
        bad = value < self.least
        return f"a posterior is {value:.2g} nats from the prior, below {self.least:g}" if bad else None
