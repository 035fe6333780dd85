"""Classes that are generated too often or too rarely."""

from typing import ClassVar, Literal

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.training.health.base import Findings, Symptom
from stable_diffusion_lab.training.health.class_counts import Counts, class_counts


class ClassBalance(Symptom):
    """Total variation between the classes of generated and of held-out samples, in [0, 1].

    The share of generated samples that would have to change their class. With few samples for each class
    it is not zero by chance alone: about 0.08 for ten classes and 512 samples on both sides.

    Args:
        most: largest healthy value.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "generator"
    meaning = "the generator prefers some classes and neglects others"
    advice = "lower optimizer.generator or try another objective"

    def __init__(self, most: Fraction = 0.5) -> None:
        self.most = most

    def measure(self, findings: Findings) -> float | None:
        return min((total_variation(counts) for counts in class_counts(findings)), default=None)

    def complaint(self, value: float) -> str | None:
        bad = value > self.most
        return f"{value:.0%} of the samples are of the wrong class, above {self.most:.0%}" if bad else None


def total_variation(counts: Counts) -> float:
    """Half the sum of the absolute differences of shares."""
    real = counts.real.double() / counts.real.sum()
    generated = counts.generated.double() / counts.generated.sum()
    return 0.5 * (real - generated).abs().sum().item()
