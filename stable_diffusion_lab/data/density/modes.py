"""Gaussians of equal weight and width, wherever they are."""

import math

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.data.density.base import Density


class Modes(Density):
    """``p(x) = mean_k N(x; mean_k, scale^2 I)``.

    Args:
        means: ``[K, D]`` float64.
        scale: standard deviation of each component along each coordinate.
    """

    def __init__(self, means: Tensor, scale: PositiveFloat) -> None:
        self.means = means
        self.dim = means.shape[1]
        self.scale = scale

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        component = torch.randint(len(self.means), (n,), generator=rng)
        noise = torch.randn(n, self.dim, generator=rng, dtype=torch.float64)
        return (self.means[component] + self.scale * noise).float(), component

    def log_prob(self, x: Tensor) -> Tensor:
        # Without matrix products, which cancel: the square of a small distance has to be exact.
        distance = torch.cdist(x.double(), self.means, compute_mode="donot_use_mm_for_euclid_dist")
        each = -0.5 * (distance / self.scale) ** 2 - self.dim * math.log(self.scale * math.sqrt(2 * math.pi))
        return each.logsumexp(dim=1) - math.log(len(self.means))
