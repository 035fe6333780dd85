"""A generator that looks at a damaged sample."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer import unet
from stable_diffusion_lab.layer.fill import fill


class UNet(Generator):
    """What a U-Net adds to the damaged sample, its gaps filled smoothly (see ``layer.unet``, ``layer.fill``).

    The network sees that start, what was seen of the sample, and what is exact. So it has to learn only what
    a smooth fill cannot do; of noise, what to take away (Zhang et al. 2017, DnCNN). Each of its maps is
    scaled and shifted by what two hidden layers make of the generator's noise. Where nothing at all is
    observed it is an ordinary generator.

    Args:
        noise_dim: width of the noise vector.
        shape: ``(C, H, W)`` or ``(C, T)`` of one sample.
        channels: at full size; each level has twice as many.
        levels: how often the sides are divided.
        hidden_dim: width of the layers that the noise passes.
        stride: by what the sides are divided.

    Raises:
        ConfigError: if ``shape`` is that of a vector.
    """

    observes = True

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        channels: PositiveInt = 16,
        levels: PositiveInt = 2,
        hidden_dim: PositiveInt = 64,
        stride: PositiveInt = 2,
    ) -> None:
        super().__init__(noise_dim, shape)
        if len(shape) not in (2, 3):
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; wants [C, H, W] or [C, T]")
        colours, *size = self.shape
        self.hear = nn.Sequential(
            nn.Linear(noise_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, hidden_dim), nn.SiLU()
        )
        self.network = unet.UNet(colours + 2, colours, channels, levels, len(size), hidden_dim, stride)

    def forward(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """Draft ``[B, *shape]`` from noise ``[B, noise_dim]`` for ``B`` observations."""
        told = observed or self.nothing(noise)
        start = fill(told.sample, told.seen)
        seen = torch.cat([start, told.seen, told.exact], dim=1).to(noise)
        return start + self.network(seen, self.hear(noise))

    def nothing(self, noise: Tensor) -> Observation:
        """An observation of nothing for each row of noise."""
        _, *size = self.shape
        blank = noise.new_zeros(len(noise), 1, *size)
        return Observation(noise.new_zeros(len(noise), *self.shape), blank, blank)
