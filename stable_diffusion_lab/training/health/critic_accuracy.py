"""A critic that the generator cannot follow."""

from typing import ClassVar, Literal

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.training.health.base import Findings, Symptom


class CriticAccuracy(Symptom):
    """Share of pairs, one real and one generated, in which the critic prefers the real one.

    One half is a critic that knows nothing. Near one the values of real and generated samples no longer
    overlap, and the slope between them says little about where the data is.

    Args:
        most: largest healthy value.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "generator"
    meaning = "the critic overpowers the generator"
    advice = "lower optimizer.adversary or hold the critic back by a regularizer"

    def __init__(self, most: Fraction = 0.97) -> None:
        self.most = most

    def measure(self, findings: Findings) -> float | None:
        return findings.accuracy

    def complaint(self, value: float) -> str | None:
        bad = value > self.most
        return f"the critic tells {value:.1%} of pairs apart, above {self.most:.0%}" if bad else None
