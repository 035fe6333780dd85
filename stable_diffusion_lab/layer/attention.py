"""Transformer blocks."""

from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError


class Block(nn.Module):
    """Pre-normalised self-attention and a two-layer perceptron (Vaswani et al. 2017; Xiong et al. 2020).

    Args:
        width: of the residual stream.
        heads: of the attention; divides ``width``.

    Raises:
        ConfigError: if ``heads`` does not divide ``width``.
    """

    def __init__(self, width: PositiveInt, heads: PositiveInt) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError("CFG-VALUE", f"heads: {heads} do not divide a width of {width}")
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, width]`` to the same."""
        return self.finish(x, functional.scaled_dot_product_attention(*self.split(x)))

    def split(self, x: Tensor) -> Tensor:
        """Queries, keys and values of each head, ``[3, B, heads, L, width / heads]``."""
        return self.project(self.before(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def finish(self, x: Tensor, seen: Tensor) -> Tensor:
        """``[B, L, width]``, with what each head has seen, ``[B, heads, L, width / heads]``."""
        x = x + self.leave(seen.transpose(1, 2).flatten(2))
        return x + self.network(x)
