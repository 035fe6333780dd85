"""How far restored samples are from those that were damaged."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Distance(nn.Module, ABC):
    """A scalar for a batch, least where both are the same. Has no parameters."""

    @abstractmethod
    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Of samples ``[B, ...]`` in [-1, 1]; the gradient reaches ``restored``."""
