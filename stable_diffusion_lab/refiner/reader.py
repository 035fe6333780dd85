"""What refiners of text have in common whose encoder is a transformer."""

from torch import Tensor, nn

from stable_diffusion_lab.layer.patches import PatchEncoder, count_patches
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.sequence import Sequence


class Reader(Sequence):
    """A transformer over patches of tokens, each of which has its share of the latents.

    Args:
        shape: ``(L, V)``; L divisible by ``patch``.
        latent_dim: width of the latent vector; divisible by the number of patches.
        decoder_scale: see ``Sequence``.
        width: of a token's embedding and of the residual stream.
        heads: of each attention.
        blocks: of the encoder.
        patch: tokens of a patch.

    Raises:
        ConfigError: if patches or latents do not come out even.

    Attributes:
        patches: their number.
        local: latents of each.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: int,
        decoder_scale: float,
        width: int,
        heads: int,
        blocks: int,
        patch: int,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale, width)
        self.patches = count_patches(self.length, patch, latent_dim)
        self.local = latent_dim // self.patches
        self.encoder = PatchEncoder(self.length, patch, width, heads, blocks)
        self.infer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * self.local))

    def encode(self, x: Tensor) -> Posterior:
        mean, log_variance = self.infer(self.encoder(self.embed(x))[-1]).chunk(2, dim=2)
        return Posterior(mean.flatten(1), log_variance.flatten(1))

    def features(self, x: Tensor) -> list[Tensor]:
        found = self.encoder(self.embed(x))
        return [*found, self.infer(found[-1]).chunk(2, dim=2)[0].flatten(1)]
