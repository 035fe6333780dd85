"""Short-time Fourier transforms of waveforms."""

import torch
from torch import Tensor, nn

FLOOR = 1e-5  # of magnitudes, where 1 is the loudest that a tone can be: -100 dB, below the step of 16 bits


class Magnitude(nn.Module):
    """Magnitudes of short-time spectra, 1 for a sinusoid of amplitude 1 with a Hann window.

    Args:
        size: samples in a window.
        hop: samples from one to the next; a quarter of a window unless it is given.
        floor: least magnitude. The slope of a logarithm is bounded by its inverse.
    """

    window: Tensor

    def __init__(self, size: int, hop: int | None = None, floor: float = FLOOR) -> None:
        super().__init__()
        self.size = size
        self.hop = hop or max(1, size // 4)
        self.floor = floor
        window = torch.hann_window(size, dtype=torch.float64)
        self.register_buffer("window", (2 * window / window.sum()).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., T]`` to ``[..., size / 2 + 1, T / hop + 1]``, at least ``floor``."""
        spectrum = torch.stft(
            x.flatten(0, -2),
            self.size,
            self.hop,
            window=self.window.to(x.dtype),
            pad_mode="constant",
            return_complex=True,
        )
        power = (
            torch.view_as_real(spectrum).square().sum(dim=-1) + self.floor**2
        )  # a root has no slope at zero
        return power.sqrt().unflatten(0, x.shape[:-1])


class LogMel(nn.Module):
    """Log-magnitudes in bands equally wide on the mel scale, ``[B, C, T]`` to ``[B, C, bands, frames]``.

    In units of 40 dB, zero at -40 dB below the loudest tone, so that speech is of about unit size.

    Args:
        rate: samples per second.
        bands: triangular filters, from 0 to half the rate (Davis & Mermelstein 1980).
        size: samples in a window.
        hop: samples from one to the next.
    """

    filters: Tensor

    def __init__(self, rate: int, bands: int, size: int, hop: int) -> None:
        super().__init__()
        self.magnitude = Magnitude(size, hop)
        self.register_buffer("filters", mel_filters(rate, bands, size // 2 + 1).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        power = self.filters.to(x.dtype) @ self.magnitude(x).square()
        return power.log10() / 4 + 1  # 20 dB are a factor of ten in magnitude, of a hundred in power


def mel_filters(rate: int, bands: int, bins: int) -> Tensor:
    """Weights ``[bands, bins]`` float64 of triangles whose corners are equally spaced in mel.

    Each adds up to 1. Mel is 2595 log10(1 + f / 700) (O'Shaughnessy 1987). Low triangles narrower than the
    distance of two bins are as wide as that.
    """
    top = rate / 2
    mel = torch.linspace(0, 1, bands + 2, dtype=torch.float64) * _mel(torch.tensor(top).double())
    corners = 700 * (10 ** (mel / 2595) - 1) / top * (bins - 1)  # in bins
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    at = torch.arange(bins, dtype=torch.float64)
    rise = (at - centre) / (centre - low).clamp_min(1)
    fall = (at - centre) / (high - centre).clamp_min(1)
    weights = torch.minimum(1 + rise, 1 - fall).clamp_min(0)
    return weights / weights.sum(dim=1, keepdim=True)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * (1 + hertz / 700).log10()
