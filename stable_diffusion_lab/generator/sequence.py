"""A generator of texts, all of whose tokens are drawn at once."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.generator.tokens import Tokens
from stable_diffusion_lab.layer.attention import Block


class Sequence(Tokens):
    """A transformer from noise to a distribution at each position, and a token drawn from each.

    Args:
        noise_dim: see ``Tokens``.
        shape: ``(L, V)``.
        width: of the residual stream.
        heads: of each attention; divides ``width``.
        blocks: number of transformer blocks.
        temperature: see ``Tokens``.

    Raises:
        ConfigError: if ``shape`` is not that of a text.
    """

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        width: PositiveInt = 128,
        heads: PositiveInt = 4,
        blocks: NonNegativeInt = 2,
        temperature: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(noise_dim, shape, temperature)
        length, vocabulary = shape
        self.enter = nn.Linear(noise_dim, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.5)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, noise: Tensor) -> Tensor:
        told, deciding = self.split(noise)
        return self.draw(self.leave(self.blocks(self.enter(told)[:, None] + self.places)), deciding)
