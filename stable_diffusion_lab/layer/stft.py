"""Short-time spectra from which a waveform comes back."""

import torch
from torch import Tensor, nn

LEAST = 1e-3  # of magnitudes in their unit: what is quieter counts as silence


class STFT(nn.Module):
    """Complex short-time spectra of half-overlapping windows, the root of Hann's both ways.

    Args:
        size: of a window, in samples; even.
    """

    window: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.hop = size // 2
        self.bins = size // 2 + 1
        self.register_buffer("window", torch.hann_window(size).sqrt(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., T]`` to ``[..., bins, T / hop + 1]``, a sinusoid of amplitude 1 at about ``size / 3``."""
        window = self.window.to(x.dtype)
        spectrum = torch.stft(
            x.flatten(0, -2), self.size, self.hop, window=window, pad_mode="constant", return_complex=True
        )
        return spectrum.unflatten(0, x.shape[:-1])

    def inverse(self, spectrum: Tensor, length: int) -> Tensor:
        """The waveforms ``[..., T]``, T = length, whose spectra are nearest to ``[..., bins, frames]``."""
        window = self.window.to(spectrum.real.dtype)
        waves = torch.istft(spectrum.flatten(0, -3), self.size, self.hop, window=window, length=length)
        return waves.unflatten(0, spectrum.shape[:-2])


def root_mean_square(magnitude: Tensor) -> Tensor:
    """Of all magnitudes ``[B, ...]`` of a sample, ``[B, 1, ...]``: the unit of ``level``; never 0."""
    return magnitude.square().mean(dim=tuple(range(1, magnitude.dim())), keepdim=True).sqrt().clamp_min(1e-9)


def level(magnitude: Tensor, unit: Tensor) -> Tensor:
    """Magnitudes on a logarithmic scale, in units that networks take well; silence is -2.3."""
    return (magnitude / unit + LEAST).log() / 3
