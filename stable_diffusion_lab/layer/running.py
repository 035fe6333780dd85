"""An average that follows what it is shown."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import Decay


class RunningMean(nn.Module):
    """Exponential moving average of tensors of one shape, unbiased from the first on.

    Attributes:
        value: the average, ``[*shape]``; zero before the first update.
        seen: number of updates so far.

    Args:
        shape: of what is averaged; ``()`` for a scalar.
        decay: what is left of the average after one update. Until then it is the plain mean of all updates.
    """

    value: Tensor
    seen: Tensor

    def __init__(self, shape: tuple[int, ...] = (), decay: Decay = 0.95) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("value", torch.zeros(shape))
        self.register_buffer("seen", torch.zeros(()))

    @torch.no_grad()
    def forward(self, fresh: Tensor) -> Tensor:
        """Take in ``[*shape]`` and return the average, a copy that later updates leave alone."""
        self.seen.add_(1)
        self.value.lerp_(fresh.to(self.value), (1 / self.seen).clamp_min(1 - self.decay))
        return self.value.clone()
