"""Refiners that ask a VAE for its opinion, and then do something else."""

from collections.abc import Callable

from torch import Tensor

from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Bound, Refiner


class Advised(Refiner):
    """Evidence, latents and layers are those of the VAE; ``forward`` is left to whoever derives from this.

    A VAE alone has to paint everything anew out of a few latents, and is better than bad drafts only. Here it
    is a second opinion.

    Args:
        inner: builds the VAE, from its ``shape``, ``latent_dim`` and ``decoder_scale``.
        shape: of one sample.
        latent_dim: width of the VAE's latent vector.
        decoder_scale: standard deviation of its likelihood, in units of the range [-1, 1].
    """

    def __init__(
        self, inner: Callable[..., Refiner], shape: tuple[int, ...], latent_dim: int, decoder_scale: float
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        self.inner = inner(shape=shape, latent_dim=latent_dim, decoder_scale=decoder_scale)
        self.explained = self.inner.explained

    def encode(self, x: Tensor) -> Posterior:
        return self.inner.encode(x)

    def decode(self, h: Tensor) -> Tensor:
        return self.inner.decode(h)

    def features(self, x: Tensor) -> list[Tensor]:
        return self.inner.features(x)

    def bound(self, clean: Tensor, corrupted: Tensor) -> Bound:
        return self.inner.bound(clean, corrupted)

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.distortion(x, h)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.log_prob(x, h)

    @property
    def entries(self) -> int:
        return self.inner.entries

    def count(self, x: Tensor) -> Tensor:
        return self.inner.count(x)

    def corrupt(self, x: Tensor, scale: float) -> Tensor:
        return self.inner.corrupt(x, scale)
