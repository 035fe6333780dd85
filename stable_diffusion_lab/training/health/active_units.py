"""Latents of the refiner that say nothing about the sample."""

from typing import ClassVar, Literal

from stable_diffusion_lab.bounds import Fraction, PositiveFloat
from stable_diffusion_lab.training.health.base import Findings, Symptom


class ActiveUnits(Symptom):
    """Share of latent units whose posterior mean moves with the sample (Burda et al. 2016).

    A unit is active where Var_x E[h | x] is above a threshold, over a held-out batch.

    Args:
        least: smallest healthy share; a good refiner need not use all the room it has.
        threshold: of the variance.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "refiner"
    meaning = "the refiner's posterior has collapsed: latents say little about the sample"
    advice = "lower refiner.decoder_scale, which weighs the divergence, or refiner.latent_dim"

    def __init__(self, least: Fraction = 0.1, threshold: PositiveFloat = 0.01) -> None:
        self.least = least
        self.threshold = threshold

    def measure(self, findings: Findings) -> float | None:
        mean = findings.posterior.mean.flatten(1)
        if len(mean) < 2:
            return None
        return (mean.var(dim=0) > self.threshold).double().mean().item()

    def complaint(self, value: float) -> str | None:
        bad = value < self.least
        return f"{value:.0%} of the latent units are active, below {self.least:.0%}" if bad else None
