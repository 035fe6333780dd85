"""What is observed of a clean sample: what the pair is told, and what its samples have to agree with."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation


class Task(ABC):
    """Generation observes nothing; restoration observes a damaged sample. Has no parameters.

    Attributes:
        observes: whether there is anything to look at.
        grid: a part of a larger sample has to begin at a multiple of so many entries, in each direction, to
            be damaged as the whole is.
        merges: whether channels that are equal where they are observed may differ in the sample.
    """

    observes: ClassVar[bool]
    grid: int = 1
    merges: bool = False

    @abstractmethod
    def observe(self, clean: Tensor, rng: torch.Generator) -> Observation | None:
        """Damage clean samples.

        Args:
            clean: ``[B, ...]`` in [-1, 1].
            rng: on the CPU; says how each sample is damaged.

        Returns:
            What is left, on the device of ``clean``; ``None`` if nothing is observed.
        """

    @abstractmethod
    def describe(self, sample: Tensor, seen: Tensor) -> Observation:
        """What a user's own damaged samples are to this task.

        Args:
            sample: ``[B, ...]`` in [-1, 1].
            seen: 1 where a sample is to be trusted, 0 where it is lost, ``[B, 1, ...]``.
        """

    def complete(self, sample: Tensor, observed: Observation | None) -> Tensor:
        """Put what is known exactly into samples ``[B, ...]``; the rest stays as it is.

        Bit for bit where ``observed`` says that the sample itself was seen.
        """
        if observed is None:
            return sample
        return torch.where(observed.exact > 0, observed.sample.to(sample.dtype), sample)

    def settle(self, sample: Tensor, observed: Observation) -> Tensor:
        """``complete`` for what will not be changed any more, of any size."""
        return self.complete(sample, observed)
