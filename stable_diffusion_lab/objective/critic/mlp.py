"""A critic of vectors."""

import math
from functools import partial

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.objective.critic.base import Critic


class MLP(Critic):
    """Plain multilayer perceptron on the flattened sample; the choice for latents.

    Args:
        shape: shape of one sample.
        hidden_dim: width of the hidden layers.
        depth: number of hidden layers.
        conditions: see ``Critic``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_dim: PositiveInt = 384,
        depth: PositiveInt = 3,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        self.net = mlp(math.prod(self.shape), hidden_dim, 1, depth, partial(nn.LeakyReLU, 0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1)).squeeze(1)
