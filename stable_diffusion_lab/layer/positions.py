"""From one vector to a sequence of them."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.layer.attention import Block


class Positions(nn.Module):
    """The same vector at each position, told where it is, and transformer blocks.

    Args:
        dim: of the vector.
        length: number of positions L.
        width: of the residual stream.
        heads: of each attention; divides ``width``.
        blocks: number of transformer blocks.
    """

    def __init__(
        self,
        dim: PositiveInt,
        length: PositiveInt,
        width: PositiveInt,
        heads: PositiveInt,
        blocks: NonNegativeInt,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.5)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)), nn.LayerNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, dim]`` to ``[B, L, width]``, normalised."""
        return self.blocks(self.enter(x)[:, None] + self.places)
