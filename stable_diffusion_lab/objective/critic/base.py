"""Networks that only learning needs: they tell real from generated."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.label import fitting, with_channels


class Critic(nn.Module, ABC):
    """One unbounded value per sample. No member normalises over the batch: penalties need that.

    Args:
        shape: shape of one sample of what the model compares, e.g. ``(24,)`` or ``(1, 28, 28)``.
        conditions: channels that samples have beyond that, of what they are compared by.

    Attributes:
        shape: with all channels.
    """

    def __init__(self, shape: tuple[int, ...], conditions: int = 0) -> None:
        super().__init__()
        self.shape = with_channels(shape, conditions)
        self.conditions = conditions
        self.register_forward_pre_hook(Critic.expect)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Judge samples: ``[B, *shape]`` to ``[B]``; large where x looks real."""

    def expect(self, arguments: tuple[Any, ...]) -> None:
        """Hold the shape of what is to be judged against the critic's own.

        Raises:
            ConfigError: if they differ.
        """
        found = list(arguments[0].shape[1:])
        if found != list(self.shape):
            kind = {1: "critic=mlp ", 3: "critic=convolutional "}.get(len(found), "")
            remedy = f"say {kind}{fitting('critic', found, self.conditions)}"
            layers = "if the feature has layers of several shapes, choose one with feature.layers"
            raise ConfigError(
                "CFG-VALUE", f"critic.shape: {list(self.shape)}, but points are {found}; {remedy}; {layers}"
            )
