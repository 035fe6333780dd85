"""Distances between two sets of points."""

import torch
from torch import Tensor

FAR = 1e6  # instead of infinite, for pairs that must not see each other: a set of one has no NaN then


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 of points ``[N, D]`` and ``[M, D]``: ``[N, M]``, in their type but at least float32.

    Expands the square into one matrix product, eight times faster than subtracting when D is that of an
    image. That cancels near zero, so it is done in float64 and cut off at 1e-12 of the mean, below which
    the gradient is zero too: the error of a *distance* is at most 1e-6 of the typical one.
    """
    a, b = x.double(), y.double()
    square = torch.addmm(b.square().sum(1), a, b.t(), alpha=-2) + a.square().sum(1, keepdim=True)
    return square.clamp_min(1e-12 * square.detach().mean()).to(torch.promote_types(x.dtype, torch.float32))


def distance(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| of points ``[N, D]`` and ``[M, D]``: ``[N, M]``; differentiable, zero included."""
    square = squared_distance(x, y)
    return square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()


def typical_distance(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square of |x_i - y_j| over all pairs, a scalar; costs O((N + M) D), not O(N M)."""
    offset = x.mean(0) - y.mean(0)
    spread = x.var(0, correction=0) + y.var(0, correction=0)
    return (offset.square() + spread).sum().sqrt()
