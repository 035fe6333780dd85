"""One correlated Gaussian."""

import math

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt, Seed
from stable_diffusion_lab.data.density.base import Density


class Gaussian(Density):
    """N(0, C) with the axes of C turned at random.

    The standard deviations along the axes fall geometrically from ``scale`` to ``narrow``.

    Args:
        dim: number of coordinates.
        scale: standard deviation along the widest axis.
        narrow: standard deviation along the narrowest axis; unused in one dimension.
        seed: of the axes.
    """

    def __init__(
        self,
        dim: PositiveInt = 2,
        scale: PositiveFloat = 0.22,
        narrow: PositiveFloat = 0.04,
        seed: Seed = 0,
    ) -> None:
        self.dim = dim
        rng = torch.Generator().manual_seed(seed)
        self.axes = torch.linalg.qr(torch.randn(dim, dim, generator=rng, dtype=torch.float64)).Q
        self.deviations = torch.logspace(
            math.log(scale), math.log(narrow), dim, base=math.e, dtype=torch.float64
        )

    @property
    def covariance(self) -> Tensor:
        """C, ``[D, D]`` float64."""
        return (self.axes * self.deviations**2) @ self.axes.T

    @property
    def entropy(self) -> float:
        """Differential entropy in nats."""
        return (0.5 * self.dim * math.log(2 * math.pi * math.e) + self.deviations.log().sum()).item()

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        noise = torch.randn(n, self.dim, generator=rng, dtype=torch.float64)
        return ((noise * self.deviations) @ self.axes.T).float(), None

    def log_prob(self, x: Tensor) -> Tensor:
        normal = x.double() @ self.axes / self.deviations
        return 0.5 * self.dim - 0.5 * normal.square().sum(dim=1) - self.entropy
