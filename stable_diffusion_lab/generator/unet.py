"""A generator that looks at a damaged sample."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.observing import Observing
from stable_diffusion_lab.layer import unet
from stable_diffusion_lab.layer.thin_plate import thin_plate


class UNet(Observing):
    """G(z, o) = f(o) + u(z, f(o), o): f fills the holes smoothly, u is a U-Net (see ``layer.unet``).

    So it begins where a repair without learning ends, a biharmonic one (see ``layer.thin_plate``), and what
    needs no repair can pass. Where something was seen, but not exactly, noise would be in the way: there u
    is alone. It sees the filled sample, what was seen of it and what is exact; its maps are scaled and
    shifted by what two hidden layers make of the noise. Where nothing at all is observed it is an ordinary
    generator.

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

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        channels: PositiveInt = 16,
        levels: PositiveInt = 2,
        hidden_dim: PositiveInt = 64,
        stride: PositiveInt = 2,
    ) -> None:
        super().__init__(noise_dim, shape, hidden_dim)
        if len(shape) not in (2, 3):
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; wants [C, H, W] or [C, T]")
        colours, *size = self.shape
        self.network = unet.UNet(colours + 2, colours, channels, levels, len(size), hidden_dim, stride)

    def forward(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """Draft ``[B, *shape]`` from noise ``[B, noise_dim]`` for ``B`` observations."""
        told = observed or self.nothing(noise)
        filled = thin_plate(told.sample, told.seen) if observed else told.sample
        seen = torch.cat([filled, told.seen, told.exact], dim=1).to(noise)
        start = filled.where(told.seen == told.exact, 0)
        return start + self.network(seen, self.hear(noise))
