"""Pairwise distances between two sets of points."""

import torch
from torch import Tensor

FAR = 1e6  # instead of infinite, for pairs that must not see each other: a set of one has no NaN then


class Targets:
    """Points y ``[M, D]`` to take distances to, from one block of others after another.

    The square is expanded into one matrix product, (x, |x|^2, 1) times (-2 y, 1, |y|^2), eight times faster
    than subtracting when D is that of an image. That cancels near zero, so it is done in float64 and cut off
    at 1e-12 of the mean of the row, below which the gradient is zero too: the error of a *distance* is at
    most 1e-6 of the typical one.
    """

    def __init__(self, y: Tensor) -> None:
        y = y.double()
        self.factors = torch.cat([-2 * y, torch.ones_like(y[:, :1]), y.square().sum(1, keepdim=True)], dim=1)

    def squared_distance(self, x: Tensor) -> Tensor:
        """|x_i - y_j|^2 of ``[N, D]``: ``[N, M]``, in the type of x but at least float32."""
        wide = x.double()
        wide = torch.cat([wide, wide.square().sum(1, keepdim=True), torch.ones_like(wide[:, :1])], dim=1)
        square = (wide @ self.factors.t()).to(torch.promote_types(x.dtype, torch.float32))
        floor = 1e-12 * square.detach().mean(dim=1, keepdim=True)
        return square.clamp_min(floor.clamp_min(torch.finfo(square.dtype).tiny))

    def distance(self, x: Tensor) -> Tensor:
        """|x_i - y_j| of ``[N, D]``: ``[N, M]``; differentiable, zero included."""
        return self.squared_distance(x).sqrt()


def in_widths(away: Tensor, widths: Tensor, rows: slice) -> Tensor:
    """Distances ``[n, M]`` in units of each of the widths ``[T]``, ``[T, n, M]``.

    Those of points to themselves are FAR: the i-th of ``rows`` is the i-th point that distances are from.
    """
    scaled = away / widths[:, None, None]
    scaled[..., rows].diagonal(dim1=1, dim2=2).fill_(FAR)
    return scaled


def typical_distance(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square of |x_i - y_j| over all pairs, a scalar; costs O((N + M) D), not O(N M)."""
    offset = x.mean(0) - y.mean(0)
    spread = x.var(0, correction=0) + y.var(0, correction=0)
    return (offset.square() + spread).sum().sqrt()
