"""What a critic says of some points."""

from typing import NamedTuple

import torch
from torch import Tensor


class Verdict(NamedTuple):
    """A critic's values at some points.

    Attributes:
        points: ``[B, ...]``, leaves that require a gradient.
        logits: the critic's values at the points, ``[B]``, with their graph.
    """

    points: Tensor
    logits: Tensor

    def slopes(self) -> Tensor:
        """grad_x D(x) of each point, ``[B, D]``, itself differentiable."""
        (slope,) = torch.autograd.grad(self.logits.sum(), self.points, create_graph=True)
        return slope.flatten(1)

    def penalty(self) -> Tensor:
        """E |grad_x D(x)|^2 (Mescheder et al. 2018, eq. 9), a scalar."""
        return self.slopes().square().sum(dim=1).mean()
