"""Images between their pixels, with derivatives of every order."""

import torch
from torch import Tensor


def resample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear values of images at a grid of positions; zero outside of the image.

    Two matrix products per image. ``grid_sample`` would do the same, but it has no second derivative, which
    gradient penalties need.

    Args:
        x: ``[B, C, H, W]``.
        rows: ``[B, H']``, in pixels from the first row.
        columns: ``[B, W']``, in pixels from the first column.

    Returns:
        ``[B, C, H', W']``.
    """
    return _hats(rows, x.shape[2]).to(x.dtype) @ x @ _hats(columns, x.shape[3]).to(x.dtype).mT


def _hats(positions: Tensor, side: int) -> Tensor:
    """Weight of each of ``side`` pixels at each position, ``[B, 1, N, side]``."""
    pixels = torch.arange(side, dtype=positions.dtype, device=positions.device)
    return (1 - (positions[:, None, :, None] - pixels).abs()).clamp_min(0)
