"""A VAE of two recurrent networks that read and write in both directions."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.patches import count_patches
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.sequence import Sequence


class GRU(Sequence):
    """Bidirectional GRUs (Cho et al. 2014) on both sides; tokens are independent given the latents.

    Tokens are taken together in patches, and each patch has its share of the latents.

    Args:
        shape: ``(L, V)``; L divisible by ``patch``.
        latent_dim: width of the latent vector; divisible by the number of patches.
        width: of a token's embedding.
        hidden_dim: of the state in each direction.
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
        hidden_dim: PositiveInt,
        patch: PositiveInt,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale, width)
        self.patch = patch
        self.patches = count_patches(self.length, patch, latent_dim)
        local = latent_dim // self.patches
        self.encoder = nn.GRU(width, hidden_dim, batch_first=True, bidirectional=True)
        self.infer = nn.Linear(4 * hidden_dim, 2 * local)
        self.feed = nn.Linear(local, patch * width)
        self.decoder = nn.GRU(width, hidden_dim, batch_first=True, bidirectional=True)
        self.leave = nn.Linear(2 * hidden_dim, self.vocabulary)

    def encode(self, x: Tensor) -> Posterior:
        patches = self.encoder(self.embed(x))[0].unflatten(1, (self.patches, self.patch))
        ends = torch.cat([patches[:, :, 0], patches[:, :, -1]], dim=2)
        mean, log_variance = self.infer(ends).chunk(2, dim=2)
        return Posterior(mean.flatten(1), log_variance.flatten(1))

    def logits(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        told = self.feed(h.unflatten(1, (self.patches, -1))).view(len(h), self.length, -1)
        return self.leave(self.decoder(told)[0])

    def decode(self, h: Tensor) -> Tensor:
        return self.logits(h).softmax(dim=-1)
