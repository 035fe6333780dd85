"""A generator of texts, all of whose tokens are drawn at once."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.generator.tokens import Tokens
from stable_diffusion_lab.layer.positions import Positions


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
        self.trunk = Positions(noise_dim, shape[0], width, heads, blocks)
        self.leave = nn.Linear(width, shape[1])

    def forward(self, noise: Tensor) -> Tensor:
        told, deciding = self.split(noise)
        return self.draw(self.leave(self.trunk(told)), deciding)
