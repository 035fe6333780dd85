"""The energy distance between a batch of drafts and a batch of data."""

from torch import Tensor

from stable_diffusion_lab.layer.distance import distance
from stable_diffusion_lab.layer.ranks import gather
from stable_diffusion_lab.objective.comparing import Comparing


def mean_within(x: Tensor) -> Tensor:
    """E |x - x'| over all pairs of different points among the ``[N, D]`` of each rank, N > 1."""
    everyone = gather(x)
    mean = distance(x, everyone).sum() / (len(x) * (len(everyone) - 1))
    # Each point stands on both sides of a pair, and the gathered side carries no gradient.
    return 2 * mean - mean.detach()


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased: a scalar that may be negative near zero.

    Szekely & Rizzo (2013) as a U-statistic of points ``[N, D]`` and ``[M, D]``, N, M > 1, over the batches
    of all ranks. The gradient is that for x; y is data.
    """
    return 2 * distance(x, gather(y)).mean() - mean_within(x) - mean_within(y).detach()


class Energy(Comparing):
    """Energy distance: a proper scalar loss without a parameter, the plainest member of the family."""

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        return {"generator": energy_distance(generated.flatten(1), real.flatten(1))}
