"""Additive white noise."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion


class GaussianNoise(Distortion):
    """x + sigma e with e standard normal, sigma uniform between two bounds, one for each sample.

    The result is not clipped: it may leave [-1, 1].

    Args:
        lowest: least standard deviation, in units of the range [-1, 1].
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({0, 1, 2})

    def __init__(self, lowest: NonNegativeFloat, highest: NonNegativeFloat) -> None:
        self.sigma = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        sigma = self.sigma.each(sample, rng)
        noise = torch.randn(sample.shape, generator=rng).to(sample, non_blocking=True)
        return sample + sigma * noise
