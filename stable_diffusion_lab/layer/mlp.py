"""Plain and residual multilayer perceptrons."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt


def mlp(
    input_dim: PositiveInt,
    hidden_dim: PositiveInt,
    output_dim: PositiveInt,
    depth: PositiveInt = 2,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """``depth`` hidden layers of equal width: ``[B, input_dim]`` to ``[B, output_dim]``."""
    widths = [input_dim] + [hidden_dim] * depth
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers, nn.Linear(hidden_dim, output_dim))


class ResidualMLP(nn.Module):
    """Pre-normalised residual blocks of two layers each: ``[B, input_dim]`` to ``[B, output_dim]``."""

    def __init__(
        self, input_dim: PositiveInt, hidden_dim: PositiveInt, output_dim: PositiveInt, blocks: NonNegativeInt
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(input_dim, hidden_dim)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden_dim),
                nn.Linear(hidden_dim, hidden_dim),
                nn.SiLU(),
                nn.Linear(hidden_dim, hidden_dim),
            )
            for _ in range(blocks)
        )
        self.leave = nn.Linear(hidden_dim, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h)
