"""A telephone line."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion


class BandLimit(Distortion):
    """Removes what is above a frequency, all of it, from the Fourier transform of the whole waveform.

    Args:
        lowest: least frequency that is left, as a share of half the rate, drawn for each sample; the mean is
            always left.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({1})

    def __init__(self, lowest: Fraction, highest: Fraction) -> None:
        self.cutoff = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        length = sample.shape[2]
        spectrum = torch.fft.rfft(widen(sample))
        frequency = 2 * torch.arange(spectrum.shape[2], device=sample.device) / length
        left = frequency <= self.cutoff.each(sample, rng)
        return torch.fft.irfft(spectrum * left, n=length).to(sample.dtype)
