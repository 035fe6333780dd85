"""The article's generator."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.mlp import mlp


class MLP(Generator):
    """Noise, two hidden layers with ReLU, and a bounded output: drafts in pixels.

    Args:
        noise_dim: width of the noise vector.
        hidden_dim: width of both hidden layers.
        shape: shape of one sample; its entries lie in [-1, 1] (tanh).
    """

    def __init__(self, noise_dim: PositiveInt, hidden_dim: PositiveInt, shape: tuple[int, ...]) -> None:
        super().__init__(noise_dim, shape)
        self.network = nn.Sequential(mlp(noise_dim, hidden_dim, math.prod(shape)), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        return self.network(noise).view(len(noise), *self.shape)
