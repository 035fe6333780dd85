"""Few bits."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.layer.straight_through import rounded
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion


class Quantisation(Distortion):
    """Values in [-1, 1) in so many bits, two's complement: multiples of 2 ** (1 - bits), from -1 on.

    Gradients pass through the rounding as if it were not there.

    Args:
        lowest: least number of bits, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    def __init__(self, lowest: PositiveInt, highest: PositiveInt) -> None:
        self.bits = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        bits = self.bits.whole(rng, len(sample), *[1] * (sample.dim() - 1))
        scale = (2.0 ** (bits - 1)).to(sample, non_blocking=True)
        return torch.minimum(rounded(sample * scale), scale - 1).maximum(-scale) / scale
