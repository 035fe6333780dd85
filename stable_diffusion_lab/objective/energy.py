"""The energy distance between a batch of drafts and a batch of data."""

import torch
from torch import Tensor

from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.mmd import squared_mmd


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased: a scalar that may be negative near zero.

    Szekely & Rizzo (2013) as a U-statistic of points ``[N, D]`` and ``[M, D]``, N, M > 1, over the batches
    of all ranks: the discrepancy of the kernel -|x - y|. The gradient is that for x; y is data.
    """
    return squared_mmd(x, y, torch.neg)


class Energy(Comparing):
    """Energy distance: a proper scalar loss without a parameter, the plainest member of the family."""

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        return {"generator": energy_distance(widen(generated.flatten(1)), widen(real.flatten(1)))}
