"""The model of the article on "stable difference", built of its two networks: draft and infer."""

import math

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.mlp import MLP
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.base import Refiner


class Inverse(Refiner):
    """A VAE whose decoder is the generator itself: to refine is to infer the noise and draft again.

    Args:
        generator: serves as the decoder; its noise is the latent vector.
        encoder: inference network, samples ``[B, *shape]`` to posterior means ``[B, noise_dim]``. The
            posterior's variance is learnt per coordinate and does not depend on the sample.
        decoder_scale: standard deviation of the likelihood, in units of the range [-1, 1].
    """

    def __init__(self, generator: Generator, encoder: nn.Module, decoder_scale: PositiveFloat) -> None:
        super().__init__(generator.shape, generator.noise_dim, decoder_scale)
        self.decoder = generator
        self.encoder = encoder
        self.log_variance = nn.Parameter(torch.full((generator.noise_dim,), -2.0))

    def encode(self, x: Tensor) -> Posterior:
        mean = self.encoder(x)
        return Posterior(mean, self.log_variance.expand_as(mean))

    def decode(self, h: Tensor) -> Tensor:
        return self.decoder(h)


class StableDiffusion(Pair):
    """The article's pair: latent -> hidden -> hidden -> image, and image -> hidden -> hidden -> latent.

    In the article's words the first network is the encoder and the second the decoder. In this package's
    words they are the generator and the inference network q(z | x) of a refiner that decodes with the
    generator. ``model(torch.randn(1, 100))`` drafts and infers again, ``[B, latent_dim]`` to the same.

    Args:
        latent_dim: width of the noise vector.
        hidden_dim: width of all four hidden layers.
        image_size: number of pixels, or the shape of one sample.
        decoder_scale: standard deviation of the refiner's likelihood, in units of the range [-1, 1].
    """

    def __init__(
        self,
        latent_dim: PositiveInt = 100,
        hidden_dim: PositiveInt = 512,
        image_size: int | tuple[int, ...] = 784,
        decoder_scale: PositiveFloat = 0.3,
    ) -> None:
        shape = (image_size,) if isinstance(image_size, int) else tuple(image_size)
        generator: Generator = MLP(latent_dim, hidden_dim, shape)
        inference = nn.Sequential(nn.Flatten(), mlp(math.prod(shape), hidden_dim, latent_dim))
        super().__init__(generator, Inverse(generator, inference, decoder_scale), Pixels())

    @property
    def encoder(self) -> Generator:
        """Latent to image: the generator."""
        return self.generator

    @property
    def decoder(self) -> nn.Module:
        """Image to latent: the inference network."""
        return self.refiner.get_submodule("encoder")

    def forward(self, noise: Tensor) -> Tensor:
        """The cycle z -> x -> z: ``[B, latent_dim]`` to the inferred mean ``[B, latent_dim]``."""
        return self.decoder(self.encoder(noise))
