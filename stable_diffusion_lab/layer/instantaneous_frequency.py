"""Waveforms as log-magnitudes and instantaneous frequencies, and back."""

import math

import torch
from torch import Tensor, nn

from stable_diffusion_lab.layer.running_sum import running_sum


class InstantaneousFrequency(nn.Module):
    """Short-time spectra with the phase as its advance from frame to frame (Engel et al. 2019, GANSynth).

    Of a steady tone all of that is constant in time, whatever its phase. Magnitudes are log(1 + |S| / floor),
    scaled so that -1 is silence and 1 a sinusoid of amplitude 1. Frequencies are in units of half a turn per
    hop, relative to the middle of the bin, in [-1, 1]; the first frame has its phase instead. The highest
    bin, half the rate, is left out, as in the paper. Unlike there: advances are relative to those of the bin,
    and magnitudes are linear below ``floor``, so that silence is a number.

    Args:
        bins: frequencies; a window has twice as many samples, a Hann window four times as many as a hop.
        iterations: see ``inverse``.
        floor: magnitude below which the scale is no longer logarithmic.
    """

    window: Tensor
    advance: Tensor

    def __init__(self, bins: int, iterations: int = 0, floor: float = 1e-4) -> None:
        super().__init__()
        self.bins = bins
        self.hop = bins // 2
        self.iterations = iterations
        self.floor = floor
        window = torch.hann_window(2 * bins)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("advance", math.pi / 2 * torch.arange(bins).view(-1, 1), persistent=False)
        self.height = float(window.sum()) / 2  # of the peak of a sinusoid of amplitude 1
        self.range = math.log1p(1 / floor)

    def forward(self, x: Tensor) -> Tensor:
        """Signals ``[B, C, T]``, T a multiple of the hop, to ``[B, 2 C, bins, T / hop]``."""
        spectrum = self._analyse(x.flatten(0, 1))
        level = 2 * (spectrum.abs() / self.floor).log1p() / self.range - 1
        phase = spectrum.angle()
        change = phase.diff(dim=2, prepend=torch.zeros_like(phase[..., :1])) - self.advance
        turn = torch.remainder(change / math.pi + 1, 2) - 1
        return torch.stack([level, turn], dim=1).unflatten(0, x.shape[:2]).flatten(1, 2)

    def inverse(self, y: Tensor) -> Tensor:
        """Signals ``[B, C, T]`` of ``[B, 2 C, bins, T / hop]``.

        Of spectra that no signal has, the nearest's in squared error (Griffin & Lim 1984, eq. 6). Then phases
        give way to magnitudes, by as many of their iterations, which leave the spectra of a signal alone.
        """
        level, turn = y.unflatten(1, (-1, 2)).flatten(0, 1).unbind(1)
        magnitude = self.floor * torch.expm1((level + 1).clamp_min(0) / 2 * self.range)
        phase = running_sum(turn * math.pi + self.advance)
        signal = self._synthesise(torch.polar(magnitude, phase))
        for _ in range(self.iterations):
            signal = self._synthesise(torch.polar(magnitude, self._analyse(signal).angle()))
        return signal.view(len(y), -1, signal.shape[-1])

    def _analyse(self, x: Tensor) -> Tensor:
        """Signals ``[N, T]`` to complex spectra ``[N, bins, T / hop]``."""
        margin = self.bins - self.hop // 2
        frames = nn.functional.pad(x, (margin, margin)).unfold(1, 2 * self.bins, self.hop)
        return torch.fft.rfft(frames * self.window)[..., :-1].mT / self.height

    def _synthesise(self, spectrum: Tensor) -> Tensor:
        """The signals ``[N, T]`` whose spectra are nearest to ``[N, bins, T / hop]``."""
        frames = torch.fft.irfft(nn.functional.pad(spectrum.mT * self.height, (0, 1))) * self.window
        return self._add(frames) / self._add(self.window.square().expand(1, *frames.shape[1:]))

    def _add(self, frames: Tensor) -> Tensor:
        """Frames ``[N, frames, 2 bins]`` added up where they belong, ``[N, T]``."""
        margin = self.bins - self.hop // 2
        length = (frames.shape[1] - 1) * self.hop + 2 * self.bins
        added = nn.functional.fold(frames.mT, (1, length), (1, 2 * self.bins), stride=(1, self.hop))
        return added[:, 0, 0, margin : length - margin]
