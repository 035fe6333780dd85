"""What happens to points, real and generated alike, before a critic sees them."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Augment(nn.Module, ABC):
    """A random, differentiable transformation; generated samples do not inherit it if it can be undone."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Transform each of the points ``[B, ...]`` by itself, to the same shape."""

    def observe(self, generated: Tensor, real: Tensor) -> None:
        """Learn from the critic's values of generated ``[N]`` and real ``[M]`` points. Most do not listen."""
