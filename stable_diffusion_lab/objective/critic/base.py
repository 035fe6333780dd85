"""Networks that only learning needs: they tell real from generated."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Critic(nn.Module, ABC):
    """One unbounded value per sample. No member normalises over the batch: penalties need that.

    Attributes:
        shape: shape of one sample of what the model compares, e.g. ``(24,)`` or ``(1, 28, 28)``.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Judge samples: ``[B, *shape]`` to ``[B]``; large where x looks real."""
