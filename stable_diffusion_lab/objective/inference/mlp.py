"""An inference network of the objective's own."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.inference.base import Inference


class MLP(Inference):
    """Multilayer perceptron on the flattened sample, for pairs whose refiner infers something else.

    The log variance is kept within (-6, 6): where the noise can be read off exactly, the likelihood of
    the cycle has no upper bound.

    Args:
        shape: shape of one sample.
        noise_dim: width of the generator's noise.
        hidden_dim: width of the two hidden layers.
    """

    player = "inference"

    def __init__(self, shape: tuple[int, ...], noise_dim: PositiveInt, hidden_dim: PositiveInt = 256) -> None:
        super().__init__()
        self.net = mlp(math.prod(shape), hidden_dim, 2 * noise_dim, activation=nn.SiLU)

    def forward(self, model: Pair, x: Tensor) -> Posterior:
        mean, raw = self.net(x.flatten(1)).chunk(2, dim=1)
        return Posterior(mean, 6 * (raw / 6).tanh())
