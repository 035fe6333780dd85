"""Ways in which a sample gets damaged."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError

_KINDS = {0: "vectors [D]", 1: "waveforms [C, T]", 2: "images [C, H, W]"}


class Damage(ABC):
    """A differentiable forward model, for a whole batch at once.

    Attributes:
        keeps: whether what can still be seen is as it was; a mask keeps, noise does not.
        directions: what it can damage, by the number of directions that a sample has beside its channels:
            2 for images, 1 for waveforms, 0 for vectors.
        grid: side of the squares, or length of the pieces, that it treats as one, from the first entry on. A
            part of a larger sample is damaged as the whole is where it begins at a multiple of that.
        merges: whether it makes channels equal which in clean samples differ.
    """

    keeps: ClassVar[bool] = False
    directions: ClassVar[frozenset[int]] = frozenset({1, 2})
    grid: int = 1
    merges: ClassVar[bool] = False

    def __call__(self, observed: Observation, rng: torch.Generator) -> Observation:
        """Damage what earlier ones have left.

        Args:
            observed: so far, for samples ``[B, ...]`` in [-1, 1].
            rng: on the CPU; all chance comes from it, whatever the device.

        Raises:
            ConfigError: if samples of this shape cannot be damaged so.
        """
        if observed.sample.dim() - 2 not in self.directions:
            kinds = " and ".join(_KINDS[number] for number in sorted(self.directions))
            raise self.unfit(observed.sample, f"is for {kinds}")
        return self.apply(observed, rng)

    @abstractmethod
    def apply(self, observed: Observation, rng: torch.Generator) -> Observation:
        """The same for samples that have directions to damage."""

    def known(self, sample: Tensor, seen: Tensor) -> Tensor:
        """What of a user's own sample, damaged so, is exactly as it was: everything seen, or nothing.

        A damage that does not keep, but leaves something as it was, says so by what it sees.

        Args:
            sample: ``[B, ...]`` of any size, 0 where it is lost.
            seen: 1 where it is to be trusted, ``[B, 1, ...]``.

        Returns:
            1 where it is known, ``[B, 1, ...]``.
        """
        return seen if self.keeps else torch.zeros_like(seen)

    def observable(self, sample: Tensor, seen: Tensor) -> Tensor:
        """What of a user's own sample counts as observed: all of it, unless this damage forgets some of it.

        Args:
            sample: ``[B, ...]`` of any size, 0 where it is lost.
            seen: 1 where it is to be trusted, ``[B, 1, ...]``.

        Returns:
            ``[B, ...]``, 0 where it is lost.
        """
        return sample

    def project(self, sample: Tensor, observed: Observation) -> Tensor:
        """Change samples ``[B, ...]`` so that this damage would make of them what is observed.

        Most damages do not tell how, and leave them as they are.
        """
        return sample

    def settle(self, sample: Tensor, observed: Observation) -> Tensor:
        """``project`` for what will not be changed any more, of any size; it is not to leave [-1, 1]."""
        return self.project(sample, observed)

    def unfit(self, sample: Tensor, why: str) -> ConfigError:
        """The error for samples ``[B, ...]`` of a shape that this damage does not go with."""
        name, found = type(self).__name__, list(sample.shape[1:])
        return ConfigError("CFG-FIT", f"damage: {name} {why}, and samples are {found}; choose another damage")
