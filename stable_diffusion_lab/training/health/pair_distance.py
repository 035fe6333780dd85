"""Samples that are too much alike."""

from typing import ClassVar, Literal

from torch import Tensor, pdist

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.training.health.base import Findings, Symptom


class PairDistance(Symptom):
    """Mean distance between two generated samples over that between two held-out ones, in features.

    Sees a collapse on a point. One that jumps between distant modes it misses; ``Coverage`` does not.

    Args:
        least: smallest healthy ratio; one is the data's own.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "generator"
    meaning = "the generator has lost variety"
    advice = "lower optimizer.generator, hold the critic back by a regularizer, or try another objective"

    def __init__(self, least: NonNegativeFloat = 0.5) -> None:
        self.least = least

    def measure(self, findings: Findings) -> float | None:
        unit = _spread(findings.real)
        found = [_spread(it) for it in findings.generated.values()]
        return max(found) / unit if unit > 0 else None

    def complaint(self, value: float) -> str | None:
        if value >= self.least:
            return None
        return f"samples lie {value:.2f} times as far apart as held-out data, below {self.least:g}"


def _spread(features: Tensor) -> float:
    """Mean distance over all pairs of ``[N, D]``; zero for a single one."""
    return pdist(features).mean().item() if len(features) > 1 else 0.0
