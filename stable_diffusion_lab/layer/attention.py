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
        causal: whether a position sees only itself and those before it.

    Raises:
        ConfigError: if ``heads`` does not divide ``width``.
    """

    def __init__(self, width: PositiveInt, heads: PositiveInt, causal: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError("CFG-VALUE", f"heads: {heads} do not divide a width of {width}")
        self.heads = heads
        self.causal = causal
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, width]`` to the same."""
        parts = self.project(self.before(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + self.leave(seen.transpose(1, 2).flatten(2))
        return x + self.network(x)
