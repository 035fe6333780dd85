"""Refiners that look at samples through another representation of them."""

from abc import abstractmethod

from torch import Tensor

from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner


class Represented(Refiner):
    """Another refiner, in front of which samples are transformed, and behind it transformed back.

    Args:
        shape: shape of one sample.
        inner: refines the representation; has the latents.
    """

    def __init__(self, shape: tuple[int, ...], inner: Refiner) -> None:
        super().__init__(shape, inner.latent_dim, inner.decoder_scale)
        self.inner = inner

    @abstractmethod
    def represent(self, x: Tensor) -> Tensor:
        """Samples ``[B, *shape]`` in the other form, ``[B, *inner.shape]``, about within [-1, 1]."""

    @abstractmethod
    def invert(self, y: Tensor) -> Tensor:
        """The inverse of ``represent``: ``[B, *inner.shape]`` to ``[B, *shape]`` in [-1, 1]."""

    def encode(self, x: Tensor) -> Posterior:
        return self.inner.encode(self.represent(x))

    def decode(self, h: Tensor) -> Tensor:
        return self.invert(self.inner.decode(h))

    def features(self, x: Tensor) -> list[Tensor]:
        return self.inner.features(self.represent(x))
