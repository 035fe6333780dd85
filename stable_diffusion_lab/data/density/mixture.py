"""Gaussians at random places."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt, Seed
from stable_diffusion_lab.data.density.modes import Modes
from stable_diffusion_lab.error import ConfigError

APART = 6  # standard deviations between two means, at least
CANDIDATES = 500
EXTENT = 0.75


class Mixture(Modes):
    """Equal Gaussians whose means are spread at random over [-0.75, 0.75]^D, none near another.

    Each mean is that one of 500 candidates which is farthest from the means before it (Mitchell 1991).

    Args:
        dim: number of coordinates.
        components: number of Gaussians.
        scale: standard deviation of each Gaussian along each coordinate.
        seed: of the means.

    Raises:
        ConfigError: if two means are nearer to each other than six standard deviations.
    """

    def __init__(
        self,
        dim: PositiveInt = 2,
        components: PositiveInt = 16,
        scale: PositiveFloat = 0.04,
        seed: Seed = 0,
    ) -> None:
        super().__init__(_spread(dim, components, seed), scale)
        gap = torch.nn.functional.pdist(self.means).min().item() if components > 1 else float("inf")
        if gap < APART * scale:
            message = f"{components} means are {gap:.2g} apart, less than {APART} scales; lower density.scale"
            raise ConfigError("CFG-VALUE", f"density.components: {message}")


def _spread(dim: int, components: int, seed: int) -> Tensor:
    """Means ``[components, dim]`` float64."""
    rng = torch.Generator().manual_seed(seed)

    def candidates() -> Tensor:
        return EXTENT * (2 * torch.rand(CANDIDATES, dim, generator=rng, dtype=torch.float64) - 1)

    means = candidates()[:1]
    while len(means) < components:
        fresh = candidates()
        farthest = torch.cdist(fresh, means).min(dim=1).values.argmax()
        means = torch.cat([means, fresh[farthest, None]])
    return means
