"""White noise in proportion to the signal."""

import torch
from torch import Tensor

from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion
from stable_diffusion_lab.task.damage.loudness import disturbed


class AdditiveNoise(Distortion):
    """White Gaussian noise at a signal-to-noise ratio, uniform in dB.

    ``GaussianNoise`` is as loud whatever the signal is.

    Args:
        lowest: least ratio in dB, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self.ratio = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        ratio = self.ratio.each(sample, rng)
        noise = torch.randn(sample.shape, generator=rng).to(sample, non_blocking=True)
        return disturbed(sample, noise, ratio)
