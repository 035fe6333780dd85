"""Classes that are never generated."""

from typing import ClassVar, Literal

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat
from stable_diffusion_lab.training.health.base import Findings, Symptom
from stable_diffusion_lab.training.health.class_counts import Counts, class_counts


class MissingClasses(Symptom):
    """Number of classes of which there should be some samples in the batch, and is none.

    Args:
        most: largest healthy number.
        expected: samples of a class that the batch should hold before the absence of all is no accident:
            by accident it has the probability exp(-expected).
    """

    player: ClassVar[Literal["generator", "refiner"]] = "generator"
    meaning = "the generator has dropped a part of the data"
    advice = "lower optimizer.generator or try another objective"

    def __init__(self, most: NonNegativeInt = 0, expected: PositiveFloat = 10.0) -> None:
        self.most = most
        self.expected = expected

    def measure(self, findings: Findings) -> float | None:
        found = [self.missing(counts) for counts in class_counts(findings)]
        return min(found, default=None)

    def missing(self, counts: Counts) -> float:
        """Classes without a sample, of those frequent enough."""
        due = counts.real * (counts.generated.sum() / counts.real.sum())
        return float(((due >= self.expected) & (counts.generated == 0)).sum())

    def complaint(self, value: float) -> str | None:
        what = "class is" if value == 1 else "classes are"
        return f"{value:.0f} {what} never generated, above {self.most}" if value > self.most else None
