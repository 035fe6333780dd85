"""Gradient penalty between generated and real points."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict


class GradientPenalty(Regularizer):
    """weight E (|grad D(u)| - target)^2, u = t y + (1 - t) x, t uniform on [0, 1] (Gulrajani et al. 2017).

    Each of min(N, M) generated points x is paired with one real point y. Points are interpolated before
    they are augmented.

    Args:
        weight: strength.
        target: the slope that costs nothing, per unit of what is compared; 0 for the zero-centred penalty of
            Thanh-Tung et al. (2019).
    """

    def __init__(self, weight: NonNegativeFloat = 5.0, target: NonNegativeFloat = 0.0) -> None:
        super().__init__()
        self.weight = weight
        self.target = target

    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        count = min(len(generated.points), len(real.points))
        # In half precision one side may be narrower than the other.
        wide = torch.promote_types(generated.points.dtype, real.points.dtype)
        x, y = (side.points.detach()[:count].to(wide) for side in (generated, real))
        t = torch.rand(count, *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
        between = torch.lerp(x, y, t).requires_grad_()
        slopes = Verdict(between, critic(between)).slopes().norm(dim=1)
        return self.weight * (slopes - self.target).square().mean()
