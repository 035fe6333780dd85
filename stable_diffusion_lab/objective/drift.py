"""Drift: attraction to the data and repulsion among the drafts, by kernels."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, Some
from stable_diffusion_lab.layer.numbers import numbers
from stable_diffusion_lab.layer.pairwise import Targets, in_widths
from stable_diffusion_lab.layer.rows import Blocks, log_column_sums, row_blocks
from stable_diffusion_lab.layer.smallest import smallest_log
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.field import VectorField
from stable_diffusion_lab.objective.kernel.base import Kernel


def affinity(logits: Tensor, log_columns: Tensor) -> Tensor:
    """Kernel values normalised over rows and columns alike.

    A_ij = E_ij / sqrt(rowsum_i colsum_j) with E = exp(logits), computed on logarithms.

    Args:
        logits: some rows ``[..., n, K]``.
        log_columns: log colsum ``[..., K]``, over all rows.

    Returns:
        ``[..., n, K]``.
    """
    log_affinity = logits - logits.logsumexp(-1, keepdim=True) / 2
    log_affinity -= log_columns[..., None, :] / 2
    return log_affinity.clamp_min_(smallest_log(logits.dtype)).exp_()


def difference(attraction: Tensor, repulsion: Tensor, real: Tensor, generated: Tensor) -> Tensor:
    """Anti-symmetric difference of two mean shifts, ``[..., N, D]`` (arXiv 2602.04770, section 3).

    sum_jk A_ij B_ik (y_j - x_k) for affinities A ``[..., N, M]`` to real points y and B ``[..., N, K]`` to
    generated points x: swapping the roles of both sets flips the sign, so it vanishes where they agree.
    """
    a, b = attraction.sum(-1, keepdim=True), repulsion.sum(-1, keepdim=True)
    return b * (attraction @ real) - a * (repulsion @ generated)


class Drift(VectorField):
    """Generative drifting (Deng et al. 2026, arXiv 2602.04770, algorithm 2; there with a Laplacian kernel).

    Args:
        feature: where to compare.
        kernel: how a point's say falls with its distance.
        temperatures: widths of the kernels, in units of the mean distance between points; each gives a
            field of its own, and all have the same say.
    """

    def __init__(
        self, feature: Feature, kernel: Kernel, temperatures: Some[PositiveFloat] = (0.2, 0.05, 0.025)
    ) -> None:
        super().__init__(feature)
        self.kernel = kernel
        self.temperatures = tuple(temperatures)

    def field(self, generated: Tensor, real: Tensor) -> Tensor:
        n, points = len(generated), torch.cat([generated, real])
        targets, temperatures = Targets(points), numbers(self.temperatures, generated)
        blocks = row_blocks(generated, len(temperatures) * len(points))
        distances = Blocks(blocks, lambda rows: targets.distance(generated[rows]))
        mean = torch.stack([away.sum() for away in distances]).sum() / (n * len(points))

        def logits() -> Iterator[Tensor]:
            """log k ``[T, n, N + M]`` of each block; a sample must not repel itself."""
            for rows, away in zip(blocks, distances, strict=True):
                yield self.kernel.log_value(in_widths(away, mean * temperatures, rows))

        log_columns, fields = log_column_sums(logits()), []
        for block in logits():
            near = affinity(block, log_columns)
            fields.append(difference(near[..., n:], near[..., :n], real, generated))
        return torch.cat(fields, dim=1)
