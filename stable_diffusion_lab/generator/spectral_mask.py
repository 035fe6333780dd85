"""A generator that masks the spectra of a damaged recording."""

import torch
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.observing import Observing
from stable_diffusion_lab.layer.continuation import continued, loudness
from stable_diffusion_lab.layer.stft import LEAST, STFT, level, root_mean_square
from stable_diffusion_lab.layer.unet import UNet
from stable_diffusion_lab.seeding import fold

_HUSH = -4.0  # where the mask of noise begins, before the sigmoid
_ALONE = 0.1  # loudness of noise where nothing at all is observed


class SpectralMask(Observing):
    """A weighted sum of three sounds, weighed by a mask for each at every frequency and time.

    What was observed, its gaps filled with the last period before them; the same from the other side; and
    noise as loud as what is around: speech is voiced or unvoiced. Where there are no gaps, the first two are
    the recording as it is, and masks take noise off it. Masks are between 0 and 1, by a U-Net over frames,
    whose channels are frequencies (see ``layer.unet``): it sees the log-magnitudes, whether both
    continuations agree in phase, what was seen, and how loud it is.

    The noise is a fixed linear map of the noise vector. What is silent on both sides stays exactly silent.

    Args:
        noise_dim: width of the noise vector.
        shape: ``(C, T)`` of one sample.
        channels: of the U-Net at all frames; each level has twice as many.
        levels: how often frames are halved.
        hidden_dim: width of the layers that the noise vector passes.
        window: of short-time spectra, in samples; they overlap by half.

    Raises:
        ConfigError: if samples are no waveforms.
    """

    waves: Tensor
    hush: Tensor

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        channels: PositiveInt = 64,
        levels: PositiveInt = 2,
        hidden_dim: PositiveInt = 64,
        window: PositiveInt = 256,
    ) -> None:
        super().__init__(noise_dim, shape, hidden_dim)
        if len(shape) != 2 or window % 2:
            message = f"{list(shape)} and window {window}; wants [C, T] and an even one, or generator=unet"
            raise ConfigError("CFG-VALUE", f"generator.shape: {message}")
        self.spectra = STFT(window)
        colours, length = self.shape
        rows = colours * self.spectra.bins
        self.network = UNet(3 * rows + 3, 3 * rows, channels, levels, 1, hidden_dim)
        rng = torch.Generator().manual_seed(fold(noise_dim, *self.shape))
        waves = torch.randn(noise_dim, colours * length, generator=rng) / noise_dim**0.5
        self.register_buffer("waves", waves, persistent=False)
        hush = torch.tensor([0.0, 0.0, _HUSH]).view(3, 1, 1, 1)
        self.register_buffer("hush", hush, persistent=False)

    def forward(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """Draft ``[B, *shape]`` from noise ``[B, noise_dim]`` for ``B`` observations."""
        if len(noise) == 0:  # which no Fourier transform takes
            return noise.new_zeros(0, *self.shape)
        told = observed or self.nothing(noise)
        sample, seen = told.sample.to(noise), told.seen.to(noise)
        heard = seen.amax(dim=2, keepdim=True) > 0
        around = torch.where(heard, loudness(sample, seen, self.spectra.size), _ALONE)
        ahead, back = continued(sample, seen), continued(sample.flip(2), seen.flip(2)).flip(2)
        hiss = around * (noise @ self.waves).view(len(noise), *self.shape)
        spectra = self.spectra(torch.stack([ahead, back, hiss], dim=1))
        masks = self.masks(noise, spectra, torch.cat([seen, told.exact.to(noise), around], dim=1))
        return self.spectra.inverse((masks * spectra).sum(dim=1), sample.shape[2])

    def masks(self, noise: Tensor, spectra: Tensor, told: Tensor) -> Tensor:
        """Of the three sounds ``[B, 3, C, bins, frames]``, by these and what was told ``[B, 3, T]``."""
        both = spectra[:, :2]
        magnitude = both.abs()
        unit = root_mean_square(magnitude)
        agree = (both[:, 0] * both[:, 1].conj()).real / (magnitude.prod(dim=1) + (LEAST * unit[:, 0]) ** 2)
        half = self.spectra.hop
        frames = functional.avg_pool1d(functional.pad(told, (half, half)), 2 * half, half)
        frames = torch.cat([frames[:, :2], level(frames[:, 2:], unit[:, 0, 0])], dim=1)
        frames = functional.pad(frames, (0, spectra.shape[-1] - frames.shape[2]), mode="replicate")
        heard = torch.cat([level(magnitude, unit).flatten(1, 3), agree.flatten(1, 2), frames], dim=1)
        masks = self.network(heard, self.hear(noise)).view(spectra.shape)
        return (2 * masks + self.hush).sigmoid()
