"""A denoiser of vectors."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.objective.denoiser.base import Denoiser
from stable_diffusion_lab.objective.denoiser.level import LevelEmbedding


class Block(nn.Module):
    """Pre-normalised residual block of two layers, shifted by the noise level's embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.shift = nn.Linear(width, width)
        self.leave = nn.Sequential(nn.SiLU(), nn.Linear(width, width))

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        return h + self.leave(self.enter(h) + self.shift(level))


class MLP(Denoiser):
    """Residual multilayer perceptron on the flattened point; the choice for latents.

    Args:
        shape: shape of one point.
        hidden_dim: width of the residual stream.
        blocks: number of residual blocks.
        conditions: see ``Denoiser``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_dim: PositiveInt = 256,
        blocks: NonNegativeInt = 2,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        self.level = LevelEmbedding(hidden_dim)
        self.enter = nn.Linear(math.prod(self.shape), hidden_dim)
        self.blocks = nn.ModuleList(Block(hidden_dim) for _ in range(blocks))
        self.shift = nn.Linear(hidden_dim, hidden_dim)
        self.leave = nn.Linear(hidden_dim, math.prod(self.shape))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def network(self, x: Tensor, level: Tensor) -> Tensor:
        embedded = self.level(level)
        h = self.enter(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedded)
        return self.leave(nn.functional.silu(h + self.shift(embedded))).view_as(x)
