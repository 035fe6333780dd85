"""Damages that forget a part of every sample, of which any other part would do."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.task.damage.distortion import Distortion


class Projection(Distortion):
    """A linear P with P P = P, known without chance.

    Observed is y = P x. Any s becomes a sample that is observed as y by s + y - P s, which keeps whatever
    of s the damage forgets.
    """

    @abstractmethod
    def keep(self, sample: Tensor) -> Tensor:
        """P of samples ``[B, ...]``.

        Raises:
            ConfigError: if samples of this shape cannot be projected so.
        """

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        return self.keep(sample)

    def project(self, sample: Tensor, observed: Observation) -> Tensor:
        known = observed.sample.to(sample.dtype)
        return sample + (known - self.keep(sample)) * observed.seen.to(sample.dtype)
