"""Sharp drift: the difference of two estimated scores, each the gradient of a potential."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, Some
from stable_diffusion_lab.layer.numbers import numbers
from stable_diffusion_lab.layer.pairwise import Targets, in_widths
from stable_diffusion_lab.layer.rows import row_blocks
from stable_diffusion_lab.layer.smallest import smallest_log
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.field import VectorField
from stable_diffusion_lab.objective.kernel.base import Kernel


def shift(kernel: Kernel, away: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """h^2 grad_x log sum_j k#(|x - y_j| / h) = sum_j k (y_j - x) / sum_j k#, computed on logarithms.

    The gradient holds because the companion k# has the slope that k gives (arXiv 2604.06333).

    Args:
        kernel: k and k#.
        away: ``[..., N, M]``, the distances from x to y in units of the width h.
        x: ``[N, D]``.
        y: ``[M, D]``.

    Returns:
        ``[..., N, D]``, a displacement in the unit of x and y.
    """
    log_weight = kernel.log_value(away) - kernel.log_sharp(away).logsumexp(-1, keepdim=True)
    weight = log_weight.clamp_min_(smallest_log(away.dtype)).exp_()
    return weight @ y - weight.sum(-1, keepdim=True) * x


class SharpDrift(VectorField):
    """V = grad log (k# * p_data) - grad log (k# * p_theta), both estimated from the batch.

    Normalising by the sharp companion k# makes the field conservative (arXiv 2604.06333). With a Gaussian
    kernel, k# = k, it is the difference of two mean shifts: of the scores of two kernel density estimates
    (arXiv 2603.07514). A generated point does not repel itself.

    Args:
        feature: where to compare.
        kernel: its value attracts, its companion normalises.
        temperatures: widths of the kernels, in units of the root-mean-square distance from generated points
            to all; each gives a field of its own, and all have the same say.

    Raises:
        ConfigError: if the kernel has no sharp companion.
    """

    def __init__(
        self, feature: Feature, kernel: Kernel, temperatures: Some[PositiveFloat] = (0.5, 0.2, 0.1)
    ) -> None:
        super().__init__(feature)
        kernel.log_sharp(torch.zeros(()))  # refuses here what it would refuse in the first step
        self.kernel = kernel
        self.temperatures = tuple(temperatures)

    def field(self, generated: Tensor, real: Tensor) -> Tensor:
        n, dim = generated.shape
        targets = Targets(torch.cat([generated, real]))
        # Points come in units of their root-mean-square distance over sqrt(D).
        widths = dim**0.5 * numbers(self.temperatures, generated)
        fields = []
        for rows in row_blocks(generated, len(widths) * (n + len(real))):
            x = generated[rows]
            away = in_widths(targets.distance(x), widths, rows)
            attraction = shift(self.kernel, away[..., n:], x, real)
            fields.append(attraction - shift(self.kernel, away[..., :n], x, generated))
        return torch.cat(fields, dim=1)
