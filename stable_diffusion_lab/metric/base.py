"""How close samples are to the data."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from stable_diffusion_lab.error import DataError


class Metric(ABC):
    """A function of two sets of feature vectors.

    Attributes:
        higher_is_better: the names of its values, short enough for the head of a column, and whether more is
            better. What has its best value inside its range, as a divergence that is estimated without
            being held above zero, counts as better the lower it is.
    """

    higher_is_better: ClassVar[dict[str, bool]]

    @abstractmethod
    def least(self, feature_dim: int) -> int:
        """The smallest number of samples, real or generated, for which the values mean something."""

    @abstractmethod
    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Values by name, from features ``[N, D]`` and ``[M, D]`` float64 on the CPU."""

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Compare features ``[N, D]`` of real with ``[M, D]`` of generated samples.

        Raises:
            DataError: if one side has too few samples.
        """
        self.check(len(real), len(generated), real.shape[1])
        return self.compute(real.double().cpu(), generated.double().cpu())

    def check(self, real: int, generated: int, feature_dim: int) -> None:
        """Refuse numbers of samples that give no meaningful value, before the samples are made."""
        least = self.least(feature_dim)
        if min(real, generated) < least:
            names = ", ".join(self.higher_is_better)
            found = f"{real} real and {generated} generated"
            message = (
                f"{names}: at least {least} samples wanted, got {found}; use more, or leave the metric out"
            )
            raise DataError("METRIC-N", message)
