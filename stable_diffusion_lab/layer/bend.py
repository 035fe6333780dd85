"""A residual network that begins as the identity, in the units of the data."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.layer.mlp import ResidualMLP

LEAST_SPREAD = 1e-2  # of latents whose priors are standard normal; what varies less is as good as constant


class Bend(nn.Module):
    """x + s f([(x - m) / s, c]) with the mean m and the spread s of the data and an optional condition c.

    The last layer of f starts at zero: what it learns is what the start x could not do.

    Args:
        dim: width of x.
        hidden_dim: width of the residual stream of f.
        blocks: number of its blocks.
        condition_dim: width of c.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, hidden_dim: int, blocks: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.network = ResidualMLP(dim + condition_dim, hidden_dim, dim, blocks)
        nn.init.zeros_(self.network.leave.weight)
        nn.init.zeros_(self.network.leave.bias)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """``[B, dim]``, and a condition ``[B, condition_dim]`` if there is one, to ``[B, dim]``."""
        return x + self.scale * self.network(torch.cat([(x - self.mean) / self.scale, *condition], dim=1))

    def measure(self, x: Tensor) -> None:
        """Take mean and spread of real points ``[N, dim]``; no spread is below the least."""
        self.mean.copy_(x.mean(dim=0))
        self.scale.copy_(x.std(dim=0).clamp_min(LEAST_SPREAD))
