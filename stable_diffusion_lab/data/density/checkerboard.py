"""Uniform on the dark cells of a board."""

import math
from typing import Literal

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.data.density.base import Density

# Points keep this distance from the edge of their cell, so that float32 carries none out of it.
_MARGIN = 2.0**-23


class Checkerboard(Density):
    """Uniform on every other cell of [-1, 1]^2: sharp edges and corners where dark cells touch.

    Args:
        dim: 2.
        cells: along each side.
    """

    def __init__(self, dim: Literal[2] = 2, cells: PositiveInt = 4) -> None:
        self.dim = dim
        self.cells = cells
        rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        self.dark = torch.stack([rows, columns], dim=2)[(rows + columns) % 2 == 0].double()

    @property
    def entropy(self) -> float:
        """Differential entropy in nats: the logarithm of the dark area."""
        return math.log(len(self.dark) * (2 / self.cells) ** 2)

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        cell = torch.randint(len(self.dark), (n,), generator=rng)
        side = 2 / self.cells
        within = side * torch.rand(n, 2, generator=rng, dtype=torch.float64)
        return (self.dark[cell] * side - 1 + within.clamp(_MARGIN, side - _MARGIN)).float(), cell

    def log_prob(self, x: Tensor) -> Tensor:
        cell = ((x.double() + 1) * (self.cells / 2)).floor()
        inside = ((cell >= 0) & (cell < self.cells)).all(dim=1)
        dark = cell.sum(dim=1) % 2 == 0
        uniform = torch.full((len(x),), -self.entropy, dtype=torch.float64)
        return uniform.masked_fill(~(inside & dark), -math.inf)
