"""A refiner that corrects drafts instead of repainting them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.layer.unet import UNet
from stable_diffusion_lab.refiner.base import Bound, Refiner


class Skip(Refiner):
    """r(x) = x + c(x, d(x)), d(x) what a VAE makes of the draft and c a U-Net that begins at zero.

    A VAE alone has to paint everything anew out of a few latents, and is better than bad drafts only. Here it
    is a second opinion, and the draft stays where nothing speaks against it. Evidence, latents and layers are
    those of the VAE.

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
        super().__init__(shape, latent_dim, decoder_scale)
        if len(shape) not in (2, 3):
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants [C, H, W] or [C, T]")
        self.inner = inner(shape=shape, latent_dim=latent_dim, decoder_scale=decoder_scale)
        colours, *size = shape
        self.correct = UNet(2 * colours, colours, width, levels, len(size), stride=stride)
        nn.init.zeros_(self.correct.leave.weight)  # drafts pass as they are at first

    def encode(self, x: Tensor) -> Posterior:
        return self.inner.encode(x)

    def decode(self, h: Tensor) -> Tensor:
        return self.inner.decode(h)

    def features(self, x: Tensor) -> list[Tensor]:
        return self.inner.features(x)

    def bound(self, clean: Tensor, corrupted: Tensor) -> Bound:
        return self.inner.bound(clean, corrupted)

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.distortion(x, h)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.log_prob(x, h)

    @property
    def entries(self) -> int:
        return self.inner.entries

    def count(self, x: Tensor) -> Tensor:
        return self.inner.count(x)

    def corrupt(self, x: Tensor, scale: float) -> Tensor:
        return self.inner.corrupt(x, scale)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.correct(torch.cat([x, self.inner(x)], dim=1))
