"""Damages that change values wherever something is seen."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.task.damage.base import Damage


class Distortion(Damage):
    """As much is seen afterwards as before, and nothing exactly. What was hidden stays 0."""

    @abstractmethod
    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        """Distorted samples ``[B, ...]``; they need not stay in [-1, 1].

        Raises:
            ConfigError: if samples of this shape cannot be distorted so.
        """

    def apply(self, observed: Observation, rng: torch.Generator) -> Observation:
        sample, seen, _ = observed
        return Observation(self.distort(sample, rng) * seen, seen, torch.zeros_like(seen))
