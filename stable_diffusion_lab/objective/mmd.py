"""Maximum mean discrepancy over all pairs."""

from torch import Tensor

from stable_diffusion_lab.layer.pairwise import Targets
from stable_diffusion_lab.layer.rows import sum_over_rows
from stable_diffusion_lab.objective.discrepancy import Discrepancy, Similarity
from stable_diffusion_lab.ranks import gather


def total(x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
    """sum_ij s(|x_i - y_j|) of points ``[N, D]`` and ``[M, D]``, a scalar; the gradient is that for x."""
    targets = Targets(y)
    return sum_over_rows(x, len(y), lambda rows: similarity(targets.distance(rows)).sum())


def mean_within(x: Tensor, similarity: Similarity) -> Tensor:
    """E s(|x - x'|) over all pairs of different points among the ``[N, D]`` of each rank; 0 for one point."""
    everyone = gather(x)
    itself = similarity(x.new_zeros(()))
    pairs = len(x) * max(len(everyone) - 1, 1)
    mean = (total(x, everyone, similarity) - len(x) * itself) / pairs
    # Each point stands on both sides of a pair, and the gathered side carries no gradient.
    return 2 * mean - mean.detach()


def squared_mmd(x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
    """E s(|x - x'|) + E s(|y - y'|) - 2 E s(|x - y|), unbiased: a scalar that may be negative near zero.

    The U-statistic of Gretton et al. (2012), eq. 3, of points ``[N, D]`` and ``[M, D]``, N, M > 1, over the
    batches of all ranks. The gradient is that for x; y is data.
    """
    everyone = gather(y)
    across = total(x, everyone, similarity) / (len(x) * len(everyone))
    return mean_within(x, similarity) + mean_within(y, similarity).detach() - 2 * across


class MMD(Discrepancy):
    """Maximum mean discrepancy over all pairs: the estimate of least variance, O((N + M)^2)."""

    def estimate(self, x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
        return squared_mmd(x, y, similarity)
