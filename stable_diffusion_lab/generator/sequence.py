"""A generator of texts, all of whose tokens are drawn at once."""

import math

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.attention import Block
from stable_diffusion_lab.layer.straight_through import most_probable

_EDGE = 1e-6  # keeps logarithms finite where the normal distribution function rounds to 0 or 1


class Sequence(Generator):
    """A transformer from noise to a distribution at each position, and a token drawn from each.

    Tokens are drawn by the Gumbel-max trick, a part of the noise deciding: a draft is a function of
    its noise. Drafts are one-hot; the gradient is that of the softmax with a temperature (straight-through
    Gumbel-softmax, Jang et al. 2017, section 2.2).

    Args:
        noise_dim: entries of the noise vector that say what is to be written; L V more decide between tokens.
        shape: ``(L, V)``.
        width: of the residual stream.
        heads: of each attention; divides ``width``.
        blocks: number of transformer blocks.
        temperature: of the softmax whose gradient is taken.

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
        super().__init__(noise_dim + math.prod(shape), shape)
        if len(shape) != 2:
            wants = "wants [length, vocabulary] of data=text; for other data say generator=mlp or dcgan"
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; {wants}")
        self.free = noise_dim
        self.temperature = temperature
        length, vocabulary = shape
        self.enter = nn.Linear(self.free, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.5)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, noise: Tensor) -> Tensor:
        told, deciding = noise[:, : self.free], noise[:, self.free :].view(len(noise), *self.shape)
        scores = self.leave(self.blocks(self.enter(told)[:, None] + self.places)) + gumbel(deciding)
        return most_probable((scores / self.temperature).softmax(dim=-1))


def gumbel(normal: Tensor) -> Tensor:
    """Standard Gumbel numbers of standard normal ones, by their quantiles."""
    uniform = torch.special.ndtr(normal).clamp(_EDGE, 1 - _EDGE)
    return -(-uniform.log()).log()
