"""A VAE of two transformers, all of whose positions are decoded at once."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.attention import Block
from stable_diffusion_lab.layer.patches import PatchEncoder, count_patches
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.sequence import Sequence


class Transformer(Sequence):
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
        super().__init__(shape, latent_dim, decoder_scale, width)
        self.patches = count_patches(self.length, patch, latent_dim)
        self.encoder = PatchEncoder(self.length, patch, width, heads, blocks)
        self.infer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * (latent_dim // self.patches)))
        self.enter = nn.Linear(latent_dim // self.patches, width)
        self.places = nn.Parameter(torch.randn(self.patches, width) * 0.02)
        self.decoder = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.spread = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, patch * width), nn.GELU())
        self.leave = nn.Linear(width, self.vocabulary)

    def encode(self, x: Tensor) -> Posterior:
        mean, log_variance = self.infer(self.encoder(self.embed(x))[-1]).chunk(2, dim=2)
        return Posterior(mean.flatten(1), log_variance.flatten(1))

    def features(self, x: Tensor) -> list[Tensor]:
        found = self.encoder(self.embed(x))
        return [*found, self.infer(found[-1]).chunk(2, dim=2)[0].flatten(1)]

    def logits(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        patches = self.decoder(self.enter(h.unflatten(1, (self.patches, -1))) + self.places)
        return self.leave(self.spread(patches).view(len(h), self.length, -1))

    def decode(self, h: Tensor) -> Tensor:
        return self.logits(h).softmax(dim=-1)
