"""A refiner that corrects drafts instead of repainting them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.unet import UNet
from stable_diffusion_lab.refiner.advised import Advised
from stable_diffusion_lab.refiner.base import Refiner


class Skip(Advised):
    """r(x) = x + c(x, d(x)), d(x) what a VAE makes of the draft and c a U-Net that begins at zero.

    The draft stays where nothing speaks against it.

    Args:
        inner: builds the VAE, from its ``shape``, ``latent_dim`` and ``decoder_scale``.
        shape: of one sample.
        latent_dim: width of the VAE's latent vector.
        decoder_scale: standard deviation of its likelihood, in units of the range [-1, 1].
        width: channels of the U-Net at full size; each level has twice as many.
        levels: how often it divides the sides.
        stride: by what the sides are divided.

    Raises:
        ConfigError: if samples are neither images nor sequences.
    """

    def __init__(
        self,
        inner: Callable[..., Refiner],
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        decoder_scale: PositiveFloat,
        width: PositiveInt = 8,
        levels: PositiveInt = 2,
        stride: PositiveInt = 2,
    ) -> None:
        if len(shape) not in (2, 3):
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants [C, H, W] or [C, T]")
        super().__init__(inner, shape, latent_dim, decoder_scale)
        colours, *size = shape
        self.correct = UNet(2 * colours, colours, width, levels, len(size), stride=stride)
        nn.init.zeros_(self.correct.leave.weight)  # drafts pass as they are at first

    def forward(self, x: Tensor) -> Tensor:
        return x + self.correct(torch.cat([x, self.inner(x)], dim=1))
