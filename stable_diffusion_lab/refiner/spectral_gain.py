"""A refiner that turns frequencies of a draft up and down."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.stft import STFT, level, root_mean_square
from stable_diffusion_lab.layer.unet import UNet
from stable_diffusion_lab.refiner.advised import Advised
from stable_diffusion_lab.refiner.base import Refiner


class SpectralGain(Advised):
    """r(x) = g(x, d(x)) x in short-time spectra, d(x) what a VAE makes of the draft, gains between 0 and 2.

    Unlike something added, gains leave silence silent. They come from a U-Net over frames whose channels are
    frequencies, of the log-magnitudes of both (see ``layer.unet``), and begin at 1: drafts pass as they are.

    Args:
        inner: builds the VAE, from its ``shape``, ``latent_dim`` and ``decoder_scale``.
        shape: ``(C, T)`` of one sample.
        latent_dim: width of the VAE's latent vector.
        decoder_scale: standard deviation of its likelihood, in units of the range [-1, 1].
        width: channels of the U-Net at all frames; each level has twice as many.
        levels: how often frames are halved.
        window: of short-time spectra, in samples; they overlap by half.

    Raises:
        ConfigError: if samples are no waveforms.
    """

    def __init__(
        self,
        inner: Callable[..., Refiner],
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        decoder_scale: PositiveFloat,
        width: PositiveInt = 64,
        levels: PositiveInt = 2,
        window: PositiveInt = 512,
    ) -> None:
        if len(shape) != 2 or window % 2:
            message = f"{list(shape)} and window {window}; wants [C, T] and an even one, or refiner=skip"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {message}")
        super().__init__(inner, shape, latent_dim, decoder_scale)
        self.spectra = STFT(window)
        rows = shape[0] * self.spectra.bins
        self.correct = UNet(2 * rows, rows, width, levels, 1)
        nn.init.zeros_(self.correct.leave.weight)

    def forward(self, x: Tensor) -> Tensor:
        spectra = self.spectra(torch.stack([x, self.inner(x)], dim=1))
        magnitude = spectra.abs()
        heard = level(magnitude, root_mean_square(magnitude[:, :1]))
        draft = spectra[:, 0]
        gains = 2 * (2 * self.correct(heard.flatten(1, 3)).view(draft.shape)).sigmoid()
        return self.spectra.inverse(gains * draft, x.shape[2]).clamp(-1, 1)
