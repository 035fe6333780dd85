"""A denoiser of images."""

import math

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.unet import Block
from stable_diffusion_lab.objective.denoiser.base import Denoiser
from stable_diffusion_lab.objective.denoiser.level import LevelEmbedding


class Convolutional(Denoiser):
    """A small U-Net (Ronneberger et al. 2015): equal width at all resolutions, skips added.

    Its blocks are those of ``layer.unet``, told the noise level.

    Args:
        shape: ``(channels, height, width)``, any size.
        width: channels of every hidden map.
        halvings: how often the resolution is halved.
        conditions: see ``Denoiser``.

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: PositiveInt = 32,
        halvings: NonNegativeInt = 2,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        if len(shape) != 3:
            raise ConfigError("CFG-VALUE", f"denoiser.shape: {list(shape)}; wants [C, H, W], or denoiser=mlp")
        self.level = LevelEmbedding(width)
        self.enter = nn.Conv2d(self.shape[0], width, 3, padding=1)
        self.down = nn.ModuleList(Block(width, 2, width) for _ in range(halvings))
        self.middle = Block(width, 2, width)
        self.up = nn.ModuleList(Block(width, 2, width) for _ in range(halvings))
        last = nn.Conv2d(width, self.shape[0], 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.leave = nn.Sequential(nn.GroupNorm(math.gcd(8, width), width), nn.SiLU(), last)

    def network(self, x: Tensor, level: Tensor) -> Tensor:
        embedded = self.level(level)
        h = self.enter(x)
        skips = []
        for block in self.down:
            skips.append(block(h, embedded))
            h = avg_pool2d(skips[-1], 2, ceil_mode=True)
        h = self.middle(h, embedded)
        for block in self.up:
            skip = skips.pop()
            h = block(interpolate(h, size=skip.shape[2:]) + skip, embedded)
        return self.leave(h)
