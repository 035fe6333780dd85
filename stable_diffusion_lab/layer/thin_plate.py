"""Holes filled smoothly from what surrounds them."""

import torch
from torch import Tensor

_TINY = 1e-12  # so that what has converged, or has no hole, divides zero by something


@torch.no_grad()
def thin_plate(x: Tensor, seen: Tensor, rounds: int = 48) -> Tensor:
    """The surface through what was seen that bends least: sum of squares of its Laplacian, per channel.

    Its Euler-Lagrange equation is that of biharmonic inpainting (Damelin & Hoang 2018). Solved by conjugate
    gradients from the mean of what was seen. The default number of rounds is enough for holes eight entries
    wide; the middle of wider ones stays nearer to the mean.

    Args:
        x: ``[B, C, ...]`` in [-1, 1].
        seen: ``[B, 1, ...]``, 1 where an entry of ``x`` is kept, 0 where it is ignored and filled.
        rounds: of conjugate gradients.

    Returns:
        ``[B, C, ...]``, ``x`` where it was seen and in [-1, 1] elsewhere; 0 where nothing at all was.
    """
    hidden, inner = 1 - seen, tuple(range(2, x.dim()))
    mean = (x * seen).sum(inner, keepdim=True) / seen.sum(inner, keepdim=True).clamp_min(1)
    filled = x * seen + mean * hidden
    residual = -hidden * _bending(filled)
    direction, size = residual, residual.square().sum(inner, keepdim=True)
    for _ in range(rounds):
        bent = hidden * _bending(direction)
        step = size / (direction * bent).sum(inner, keepdim=True).clamp_min(_TINY)
        filled = filled + step * direction
        residual = residual - step * bent
        before, size = size, residual.square().sum(inner, keepdim=True)
        direction = residual + size / before.clamp_min(_TINY) * direction
    return torch.where(seen > 0, x, filled.clamp(-1, 1))


def _bending(x: Tensor) -> Tensor:
    """Half the gradient of the sum of squares of the Laplacian, which is symmetric."""
    return _laplacian(_laplacian(x))


def _laplacian(x: Tensor) -> Tensor:
    """Neighbours less the entry itself, along all axes after the second; nothing passes the border."""
    total = torch.zeros_like(x)
    for axis in range(2, x.dim()):
        rise = x.diff(dim=axis)
        total.narrow(axis, 0, rise.shape[axis]).add_(rise)
        total.narrow(axis, 1, rise.shape[axis]).sub_(rise)
    return total
