"""A convolutional generator that drafts pixels."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator


class DCGAN(Generator):
    """Transposed convolutions from a small map up to the sample (Radford et al. 2016).

    Deviations: GroupNorm of 8 groups in the place of BatchNorm, whose statistics differ between ranks, and
    any image size: the last map is cropped to the sample's height and width.

    Args:
        noise_dim: width of the noise vector.
        channels: channels of the last hidden map; each earlier one has twice as many.
        shape: ``(C, H, W)`` of one sample, in [-1, 1] (tanh).

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """

    def __init__(self, noise_dim: PositiveInt, channels: PositiveInt, shape: tuple[int, ...]) -> None:
        super().__init__(noise_dim, shape)
        if len(shape) != 3:
            raise ConfigError(
                "CFG-VALUE", f"generator.shape: {list(shape)}; wants [C, H, W], or generator=mlp"
            )
        colours, height, width = self.shape
        doublings = max(1, math.ceil(math.log2(max(height, width) / 4)))
        self.start = (channels * 2 ** (doublings - 1), -(-height // 2**doublings), -(-width // 2**doublings))
        stages: list[nn.Module] = []
        for stage in range(doublings - 1, 0, -1):
            before, after = channels * 2**stage, channels * 2 ** (stage - 1)
            norm = nn.GroupNorm(math.gcd(8, after), after)
            stages += [nn.ConvTranspose2d(before, after, 4, 2, 1), norm, nn.ReLU()]
        self.enter = nn.Sequential(nn.Linear(noise_dim, math.prod(self.start)), nn.ReLU())
        self.stages = nn.Sequential(*stages, nn.ConvTranspose2d(channels, colours, 4, 2, 1), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        start = self.enter(noise).view(len(noise), *self.start)
        _, height, width = self.shape
        return self.stages(start)[..., :height, :width]
