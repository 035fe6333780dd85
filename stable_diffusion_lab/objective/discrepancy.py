"""Distances between distributions by kernels: maximum mean discrepancy (Gretton et al. 2012)."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, Some
from stable_diffusion_lab.layer.pairwise import typical_distance
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.kernel.base import Kernel
from stable_diffusion_lab.ranks import gather

# How alike points at the given distances are, of any shape.
Similarity = Callable[[Tensor], Tensor]


class Discrepancy(Comparing):
    """MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) with a kernel at several widths, averaged.

    Args:
        feature: where to compare.
        kernel: how alike points are, by their distance.
        bandwidths: widths of the kernel, in units of the root-mean-square distance between generated and
            real points, which is taken as a constant.
    """

    def __init__(
        self,
        feature: Feature,
        kernel: Kernel,
        bandwidths: Some[PositiveFloat] = (0.3, 0.45, 0.7, 1.0, 1.4),
    ) -> None:
        super().__init__(feature)
        self.kernel = kernel
        self.bandwidths = tuple(bandwidths)

    @abstractmethod
    def estimate(self, x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
        """MMD^2 of generated ``[N, D]`` and real ``[M, D]`` points of this rank; a scalar.

        Averaged over ranks, it is unbiased for a fixed similarity, and may be negative near zero.
        """

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        x, y = widen(generated.flatten(1)), widen(real.flatten(1))
        return {"generator": self.estimate(x, y, self.mixture(typical_distance(gather(x), gather(y))))}

    def mixture(self, unit: Tensor) -> Similarity:
        """Mean of the kernel over the bandwidths, in (0, 1], for distances in any unit."""
        widths = [unit.clamp_min(torch.finfo(unit.dtype).tiny) * b for b in self.bandwidths]
        return lambda away: torch.stack([self.kernel.value(away / width) for width in widths]).mean(0)
