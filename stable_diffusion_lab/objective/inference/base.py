"""Who infers the noise behind a draft."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair


class Inference(nn.Module, ABC):
    """q(z | x), the inverse of drafting.

    Attributes:
        player: whose parameters learn from the cycle z -> x -> z besides the generator's.
    """

    player: ClassVar[str]

    @abstractmethod
    def forward(self, model: Pair, x: Tensor) -> Posterior:
        """Infer the noise ``[B, noise_dim]`` from samples ``[B, *shape]``."""
