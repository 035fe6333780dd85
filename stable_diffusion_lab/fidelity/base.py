"""How close a restored sample is to the one that was damaged."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from stable_diffusion_lab.batch import Observation


class Fidelity(ABC):
    """A function of a restored and an original sample.

    Attributes:
        higher_is_better: the names of its values, short enough for the head of a column, and whether more is
            better.
    """

    higher_is_better: ClassVar[dict[str, bool]]

    @abstractmethod
    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        """Values by name, ``[B]`` each, of samples ``[B, ...]`` in [-1, 1].

        Raises:
            ConfigError: if samples of this shape cannot be compared so.
        """

    def try_out(self, clean: Tensor) -> None:
        """Compare samples ``[B, ...]`` with themselves, so that what does not fit is known at once.

        Raises:
            ConfigError: if samples of this shape cannot be compared so.
        """
        everything = clean.new_ones(len(clean), 1, *clean.shape[2:])
        self(clean, clean, Observation(clean, everything, everything))
