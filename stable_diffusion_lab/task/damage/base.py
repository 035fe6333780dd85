"""Ways in which a sample gets damaged."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from stable_diffusion_lab.batch import Observation


class Damage(ABC):
    """A differentiable forward model, for a whole batch at once.

    Attributes:
        keeps: whether what can still be seen is as it was; a mask keeps, noise does not.
    """

    keeps: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, observed: Observation, rng: torch.Generator) -> Observation:
        """Damage what earlier ones have left.

        Args:
            observed: so far, for samples ``[B, ...]`` in [-1, 1].
            rng: on the CPU; all chance comes from it, whatever the device.

        Raises:
            ConfigError: if samples of this shape cannot be damaged so.
        """
