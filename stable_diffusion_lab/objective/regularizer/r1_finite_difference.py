"""R1 without a second derivative."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeFloat, PositiveFloat
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict


class R1FiniteDifference(Regularizer):
    """gamma/2 E (D(y + s e) - D(y - s e))^2 / 4s^2, y real, e standard normal.

    For small s the quotient is (e . grad D(y))^2, whose mean over e is |grad D(y)|^2: R1 up to O(s^2), with
    more noise. It is made of two plain evaluations, so fused kernels, half precision and ``torch.compile``,
    which may know no second derivative, need none. Lin et al. (2025, arXiv 2501.08316) use the one-sided
    difference and leave out the division.

    Args:
        gamma: strength, per squared unit of what is compared.
        scale: s, in units of what is compared. Rounding errors of D are divided by it, so half precision
            wants a larger one than float32.
    """

    def __init__(self, gamma: NonNegativeFloat = 1.0, scale: PositiveFloat = 0.03) -> None:
        super().__init__()
        self.gamma = gamma
        self.scale = scale

    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        y = real.points.detach()
        step = self.scale * torch.randn_like(y)
        # Both sides are augmented with the same random numbers; a difference of augmentations is no slope.
        with torch.random.fork_rng([y.device] if y.is_cuda else []):
            ahead = critic(y + step)
        behind = critic(y - step)
        return self.gamma / 2 * ((ahead - behind) / (2 * self.scale)).square().mean()
