"""The modified discrete cosine transform: a critically sampled spectrogram without loss."""

import math

import torch
from torch import Tensor, nn


class MDCT(nn.Module):
    """Orthonormal lapped transform of 50 % overlap with a sine window (Princen et al. 1987), on a circle.

    The end of a signal overlaps with its beginning, so ``[T]`` becomes T / bins frames of as many values as
    there are in them: a rotation. Squared distances, and with them a Gaussian likelihood, are the same on
    both sides.

    Args:
        bins: frequencies, equally wide, and samples from one frame to the next; even.
    """

    basis: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins
        n, k = torch.arange(2 * bins).double() + 0.5, torch.arange(bins).double() + 0.5
        window = (math.pi / (2 * bins) * n).sin()
        waves = (math.pi / bins * (n + bins / 2) * k[:, None]).cos()
        basis = (2 / bins) ** 0.5 * window * waves
        self.register_buffer("basis", basis.float()[:, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Signals ``[B, C, T]``, T a multiple of ``bins``, to ``[B, C, bins, T / bins]``."""
        half = self.bins // 2
        circle = torch.cat([x[..., -half:], x, x[..., :half]], dim=-1).flatten(0, 1)
        frames = nn.functional.conv1d(circle[:, None], self.basis.to(x.dtype), stride=self.bins)
        return frames.unflatten(0, x.shape[:2])

    def inverse(self, spectrum: Tensor) -> Tensor:
        """The signals ``[B, C, T]`` that ``forward`` makes ``[B, C, bins, T / bins]`` of."""
        half = self.bins // 2
        frames, basis = spectrum.flatten(0, 1), self.basis.to(spectrum.dtype)
        long = nn.functional.conv_transpose1d(frames, basis, stride=self.bins)[:, 0]
        head, middle, tail = long.tensor_split([half, long.shape[1] - half], dim=1)
        # What hangs over at either end belongs to the other.
        last = middle.shape[1] - half
        opened = torch.cat([middle[:, :half] + tail, middle[:, half:last], middle[:, last:] + head], dim=1)
        return opened.unflatten(0, spectrum.shape[:2])
