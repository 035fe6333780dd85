"""A convolutional generator that drafts waveforms."""

import math
from itertools import pairwise

from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator

STRIDE = 4
KERNEL = 25
START = 16  # samples that the first map has about


class WaveGAN(Generator):
    """Transposed one-dimensional convolutions of 25 taps and stride 4 (Donahue et al. 2019, table 1).

    Deviation: any length; the first map has 16 values or fewer, and the last is cropped to the sample's.

    Args:
        noise_dim: width of the noise vector.
        channels: channels of the last hidden map; each earlier one has twice as many.
        shape: ``(C, T)`` of one sample, in [-1, 1] (tanh).

    Raises:
        ConfigError: if ``shape`` is not that of a waveform.
    """

    def __init__(self, noise_dim: PositiveInt, channels: PositiveInt, shape: tuple[int, ...]) -> None:
        super().__init__(noise_dim, shape)
        if len(shape) != 2:
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; wants [C, T], or generator=mlp")
        voices, length = self.shape
        depth = max(1, math.ceil(math.log(length / START, STRIDE)))
        widths = [*(channels * 2**level for level in range(depth - 1, -1, -1)), voices]
        self.start = (widths[0], -(-length // STRIDE**depth))
        stages: list[nn.Module] = []
        for before, after in pairwise(widths):
            stages += [nn.ConvTranspose1d(before, after, KERNEL, STRIDE, KERNEL // 2 - 1, 1), nn.ReLU()]
        self.enter = nn.Sequential(nn.Linear(noise_dim, math.prod(self.start)), nn.ReLU())
        self.stages = nn.Sequential(*stages[:-1], nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        start = self.enter(noise).view(len(noise), *self.start)
        return self.stages(start)[..., : self.shape[1]]
