"""The few directions in which features vary most."""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Principal(NamedTuple):
    """An affine map onto principal axes, in units of the standard deviation along each.

    Attributes:
        mean: of the points that the axes were fitted to, ``[D]``.
        axes: one column per axis, each over its standard deviation, ``[D, d]``.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, points: Tensor, dim: int) -> Self:
        """The first ``dim`` axes of points ``[N, D]``, fewer where the points vary in fewer directions.

        An axis points to the side of the longer tail, so that rotating the points changes nothing.
        """
        mean = points.mean(dim=0)
        variance, axes = torch.linalg.eigh((points - mean).T.cov(correction=0).reshape(2 * mean.shape))
        variance, axes = variance.flip(0)[:dim], axes.flip(1)[:, :dim]
        rank = max(1, int((variance > 1e-10 * variance[0]).sum()))  # the rest is rounding
        axes = axes[:, :rank] / variance[:rank].clamp_min(1e-16).sqrt()
        tail = ((points - mean) @ axes).pow(3).sum(dim=0)
        return cls(mean, torch.where(tail < 0, -axes, axes))

    def __call__(self, points: Tensor) -> Tensor:
        """Coordinates ``[N, d]`` of points ``[N, D]``."""
        return (points - self.mean) @ self.axes
