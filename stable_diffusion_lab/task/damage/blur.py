"""Out of focus."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion

REACH = 4  # standard deviations after which the kernel is cut off


class Blur(Distortion):
    """Gaussian blur, every channel by itself; beyond the edge the image goes on as its last pixel.

    Args:
        lowest: least standard deviation of the kernel in pixels, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({2})

    def __init__(self, lowest: PositiveFloat, highest: PositiveFloat) -> None:
        self.sigma = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        n, channels = sample.shape[:2]
        reach = math.ceil(REACH * self.sigma.highest)
        sigma = self.sigma.each(sample, rng).flatten(1)
        at = torch.arange(-reach, reach + 1, device=sample.device)
        # Each sample's own reach, as if its kernel were the only one.
        weight = torch.exp(-0.5 * (at / sigma).square()) * (at.abs() <= (REACH * sigma).round())
        kernel = (weight / weight.sum(dim=1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
        wide = F.pad(sample, (reach, reach, reach, reach), mode="replicate").flatten(0, 1)[None]
        rows = F.conv2d(wide, kernel[:, :, :, None], groups=n * channels)
        return F.conv2d(rows, kernel[:, :, None], groups=n * channels).view_as(sample)
