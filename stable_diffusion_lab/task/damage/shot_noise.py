"""Few photons."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion


class ShotNoise(Distortion):
    """Noise of counted photons, whose variance is their mean: Gaussian with the moments of a Poisson count.

    A pixel of intensity i = (x + 1) / 2 stands for peak i photons on average, and sqrt(peak i) e more or
    fewer. Where that is less than about five the true distribution is visibly skewed, and this one is not.
    The gradient is that of the mean: the noise is taken as given, for its own slope is infinite at black.

    Args:
        lowest: least number of photons at white, drawn for each sample (on a logarithmic scale).
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({2})

    def __init__(self, lowest: PositiveFloat, highest: PositiveFloat) -> None:
        Between(lowest, highest)
        self.share = Between(0.0, 1.0)
        self.lowest = lowest
        self.highest = highest

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        peak = self.lowest * (self.highest / self.lowest) ** self.share.each(sample, rng)
        noise = torch.randn(sample.shape, generator=rng).to(sample, non_blocking=True)
        intensity = ((sample.detach() + 1) / 2).clamp_min(0)
        return sample + 2 * (intensity / peak).sqrt() * noise
