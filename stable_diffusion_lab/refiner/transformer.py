"""A VAE of two transformers, all of whose positions are decoded at once."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.attention import Block
from stable_diffusion_lab.refiner.reader import Reader


class Transformer(Reader):
    """Tokens are taken together in patches, and each patch has its share of the latents.

    Local latents are learnt far faster than one summary of the whole text. Blocks on either side let patches
    see each other: they are what makes words of letters.

    Args:
        shape: ``(L, V)``; L divisible by ``patch``.
        latent_dim: width of the latent vector; divisible by the number of patches.
        width: of the residual stream, and of a token's embedding.
        heads: of each attention.
        blocks: of the encoder, and again of the decoder.
        patch: tokens of a patch.
        decoder_scale: see ``Sequence``.

    Raises:
        ConfigError: if patches or latents do not come out even.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        width: PositiveInt,
        heads: PositiveInt,
        blocks: NonNegativeInt,
        patch: PositiveInt,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale, width, heads, blocks, patch)
        self.enter = nn.Linear(self.local, width)
        self.places = nn.Parameter(torch.randn(self.patches, width) * 0.02)
        self.decoder = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.spread = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, patch * width), nn.GELU())
        self.leave = nn.Linear(width, self.vocabulary)

    def logits(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        patches = self.decoder(self.enter(h.unflatten(1, (self.patches, -1))) + self.places)
        return self.leave(self.spread(patches).view(len(h), self.length, -1))

    def decode(self, h: Tensor) -> Tensor:
        return self.logits(h).softmax(dim=-1)
