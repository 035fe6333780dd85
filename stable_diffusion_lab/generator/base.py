"""The drafting half of the pair."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Maps noise to a draft in one evaluation.

    Attributes:
        noise_dim: width of the noise vector.
        shape: shape of one output, e.g. ``(1, 28, 28)`` for pixels or ``(24,)`` for latents.
    """

    def __init__(self, noise_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.shape = tuple(shape)

    @abstractmethod
    def forward(self, noise: Tensor) -> Tensor:
        """Draft from standard normal noise: ``[B, noise_dim]`` to ``[B, *shape]``."""

    def initialise(self, codes: Iterable[Tensor]) -> None:
        """Fit or scale to real data once, just before the generator starts to learn.

        Args:
            codes: the training data in the generator's own space, in batches ``[n, *shape]`` that are
                computed when they are asked for.
        """
