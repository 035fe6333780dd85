"""Additive white noise."""

import torch

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.task.damage.base import Damage


class GaussianNoise(Damage):
    """x + sigma e with e standard normal, sigma uniform between two bounds, one for each sample.

    The result is not clipped: it may leave [-1, 1].

    Args:
        lowest: least standard deviation, in units of the range [-1, 1].
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    def __init__(self, lowest: NonNegativeFloat, highest: NonNegativeFloat) -> None:
        if lowest > highest:
            raise ConfigError("CFG-VALUE", f"damage lowest: {lowest} is above highest: {highest}")
        self.lowest = lowest
        self.highest = highest

    def __call__(self, observed: Observation, rng: torch.Generator) -> Observation:
        sample, seen, _ = observed
        shape = (len(sample), *[1] * (sample.dim() - 1))
        sigma = self.lowest + (self.highest - self.lowest) * torch.rand(shape, generator=rng)
        noise = sigma * torch.randn(sample.shape, generator=rng)
        return Observation(sample + noise.to(sample) * seen, seen, torch.zeros_like(seen))
