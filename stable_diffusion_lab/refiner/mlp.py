"""A VAE of two multilayer perceptrons."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.activations import activations
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner


class MLP(Refiner):
    """Encoder and decoder with two hidden layers each, for small images and vectors.

    Args:
        shape: shape of one sample.
        latent_dim: width of the latent vector.
        hidden_dim: width of all hidden layers.
        decoder_scale: standard deviation of the likelihood, in units of the range [-1, 1].
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        hidden_dim: PositiveInt,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        size = math.prod(shape)
        self.encoder = mlp(size, hidden_dim, 2 * latent_dim, activation=nn.SiLU)
        self.decoder = nn.Sequential(mlp(latent_dim, hidden_dim, size, activation=nn.SiLU), nn.Tanh())

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(*self.encoder(x.flatten(1)).chunk(2, dim=1))

    def features(self, x: Tensor) -> list[Tensor]:
        *hidden, last = activations(self.encoder, x.flatten(1), nn.SiLU)
        return [*hidden, last.chunk(2, dim=1)[0]]

    def decode(self, h: Tensor) -> Tensor:
        return self.decoder(h).view(len(h), *self.shape)
