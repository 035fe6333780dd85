"""Kernel distance."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.metric.base import Metric

CHUNK = 400  # rows at a time: more would not stay in the cache


class Kernel(Metric):
    """Squared maximum mean discrepancy with the cubic kernel (Binkowski et al. 2018, section 4).

    The U-statistic over all pairs: unbiased, so its expected value for samples from the data itself is
    zero whatever their number. Averaging over random subsets, as is often done, costs more and adds noise.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"kd": False}

    def least(self, feature_dim: int) -> int:
        return 2

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        across = _total(real, generated) / (len(real) * len(generated))
        return {"kd": _mean_of_others(real) + _mean_of_others(generated) - 2 * across}


def _kernel(dot: Tensor, feature_dim: int) -> Tensor:
    """k(x, y) = (x.y / D + 1)^3 in the place of dot products."""
    return dot.div_(feature_dim).add_(1).pow_(3)


def _total(a: Tensor, b: Tensor) -> float:
    """Sum of the kernel over all pairs, some rows at a time."""
    sums = [_kernel(chunk @ b.T, a.shape[1]).sum() for chunk in a.split(CHUNK)]
    return torch.stack(sums).sum().item()


def _mean_of_others(a: Tensor) -> float:
    """Mean of the kernel over pairs of different samples of one set."""
    own = _kernel(a.square().sum(dim=1), a.shape[1]).sum().item()
    return (_total(a, a) - own) / (len(a) * (len(a) - 1))
