"""The sliced Wasserstein distance: optimal transport along random lines."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.ranks import gather, gather_live, same_on_all_ranks


def squared_wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared Wasserstein-2 distance on the line, ``[P]``, of the columns of ``[N, P]`` and ``[M, P]``.

    The integral over (0, 1) of the squared difference of both quantile functions. They are steps of width
    1/N and 1/M, so the sum over the N + M intervals that both make is exact, for any N and M.
    """
    n, m = len(x), len(y)
    # Where the intervals end, in units of 1 / (N M). Where both functions step at once one has no width.
    steps = [torch.arange(1, k + 1, device=x.device) * (n * m // k) for k in (n, m)]
    ends = torch.cat(steps).sort()[0]
    width = ends.diff(prepend=ends.new_zeros(1)).to(x.dtype) / (n * m)
    gap = x.sort(0)[0][(ends - 1) // m] - y.sort(0)[0][(ends - 1) // n]
    return width @ gap.square()


def random_directions(points: Tensor, count: int) -> Tensor:
    """Unit vectors ``[D, count]`` for points ``[N, D]``, uniform on the sphere and equal on all ranks."""
    free = torch.randn(points.shape[1], count, device=points.device, dtype=points.dtype)
    return torch.nn.functional.normalize(same_on_all_ranks(free), dim=0)


class SlicedWasserstein(Comparing):
    """Mean over random directions of W2^2 between the projections (Bonneel et al. 2015).

    In squared units of what is compared. The points of all ranks are sorted together, along the same
    directions.

    Args:
        feature: where to compare.
        directions: how many are drawn for each step.
    """

    def __init__(self, feature: Feature, directions: PositiveInt = 128) -> None:
        super().__init__(feature)
        self.directions = directions

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        with torch.autocast(generated.device.type, enabled=False):
            x, y = gather_live(widen(generated.flatten(1))), gather(widen(real.flatten(1)))
            lines = random_directions(x, self.directions)
            return {"generator": squared_wasserstein(x @ lines, y @ lines).mean()}
