"""Maximum mean discrepancy over independent pairs."""

import torch
from torch import Tensor

from stable_diffusion_lab.objective.discrepancy import Discrepancy, Similarity


def apart(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_i| of points ``[N, D]``: ``[N]``; differentiable, zero included."""
    return (a - b).square().sum(1).clamp_min(torch.finfo(a.dtype).tiny).sqrt()


def squared_mmd_linear(x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
    """Mean over i of s(|x_i - x_j|) + s(|y_i - y_j|) - s(|x_i - y_j|) - s(|x_j - y_i|), unbiased: a scalar.

    Gretton et al. (2012), lemma 14, in O(N D) for points ``[N, D]`` and ``[M, D]``: of min(N, M) points the
    first half is paired with the second, j = i + half; what is left over is not used. Where ranks hold
    strided shares of a batch, they make the pairs that one process would. Zero if there is no pair.
    """
    half = min(len(x), len(y)) // 2
    (x1, x2), (y1, y2) = ((t[:half], t[half : 2 * half]) for t in (x, y))
    same = similarity(apart(x1, x2)) + similarity(apart(y1, y2))
    other = similarity(apart(x1, y2)) + similarity(apart(x2, y1))
    return (same - other).sum() / max(half, 1)


class MMDLinear(Discrepancy):
    """Maximum mean discrepancy from one pass over the batch: noisier than over all pairs, for large ones."""

    def estimate(self, x: Tensor, y: Tensor, similarity: Similarity) -> Tensor:
        return squared_mmd_linear(x, y, similarity)
