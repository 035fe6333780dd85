"""Held-out samples that nothing generated comes near."""

from typing import ClassVar, Literal

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.metric.density_coverage import DensityCoverage
from stable_diffusion_lab.training.health.base import Findings, Symptom


class Coverage(Symptom):
    """Share of held-out neighbourhoods with a generated sample inside (Naeem et al. 2020, eq. 5).

    Finds a generator that collapses on a part of the data, also one that jumps between parts. Taken from
    the validation scores where ``metric`` has it, otherwise computed on the held-out batch.

    Args:
        least: smallest healthy value.
        k: which neighbour bounds a neighbourhood, where it is computed here.
    """

    player: ClassVar[Literal["generator", "refiner"]] = "generator"
    meaning = "the generator has collapsed on a part of the data"
    advice = "lower optimizer.generator, hold the critic back by a regularizer, or try another objective"

    def __init__(self, least: Fraction = 0.3, k: PositiveInt = 5) -> None:
        self.least = least
        self.metric = DensityCoverage(k)

    def measure(self, findings: Findings) -> float | None:
        names = {f"{stage}/coverage" for stage in Sample._fields}  # and not of what was damaged
        if scores := [findings.scores[name] for name in names & findings.scores.keys()]:
            return max(scores)
        if len(findings.real) < self.metric.least(findings.real.shape[1]):
            return None
        found = [self.metric.compute(findings.real, it)["coverage"] for it in findings.generated.values()]
        return max(found)

    def complaint(self, value: float) -> str | None:
        bad = value < self.least
        return f"samples cover {value:.0%} of held-out data, below {self.least:.0%}" if bad else None
