"""By what measures of sound go by."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeFloat, PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.spectrum import FLOOR, Magnitude
from stable_diffusion_lab.objective.distance.base import Distance

_SILENCE = 1e-10  # mean power, -100 dB, below which a recording is not taken as quieter


class Waveform(Distance):
    """Noise to signal on a logarithmic scale, and the mean error of log spectra, both in units of 10 dB.

        mean_b log10(|x_b - y_b|^2 / |y_b|^2 + least) + spectral mean |log10 |X|^2 - log10 |Y|^2|,

    X and Y short-time spectra at several resolutions. On a logarithmic scale a quiet recording counts as much
    as a loud one, and so does one of which little is lost. The first part alone shrinks what cannot be
    known to silence; the second knows no phases and keeps it as loud as it was. The last axis is time.

    Args:
        spectral: weight of the spectra.
        sizes: of their windows, in samples; they overlap by three quarters.
        floor: magnitude, with a sinusoid of amplitude 1 at 1, below which everything is silence.
        least: ratio of noise to signal that is added to all, which bounds the reward for perfection.

    Raises:
        ConfigError: if there are no windows.
    """

    def __init__(
        self,
        spectral: NonNegativeFloat = 0.3,
        sizes: Sequence[PositiveInt] = (128, 512),
        floor: PositiveFloat = FLOOR,
        least: PositiveFloat = 1e-6,
    ) -> None:
        super().__init__()
        if not sizes:
            raise ConfigError("CFG-VALUE", "distance.sizes: []; give a window, or set distance.spectral=0")
        self.spectral = spectral
        self.magnitudes = nn.ModuleList(Magnitude(size, floor=floor) for size in sizes)
        self.least = least

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        error, power = ((x.flatten(1).square().mean(dim=1)) for x in (restored - clean, clean))
        ratio = (error / power.clamp_min(_SILENCE) + self.least).log10().mean()
        apart = [2 * (m(restored).log10() - m(clean).log10()).abs().mean() for m in self.magnitudes]
        return ratio + self.spectral * torch.stack(apart).mean()
