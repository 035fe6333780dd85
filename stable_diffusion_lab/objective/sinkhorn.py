"""Sinkhorn drift: attraction and repulsion by optimal-transport plans."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.pairwise import FAR, Targets
from stable_diffusion_lab.layer.rows import Blocks, log_column_sums, row_blocks
from stable_diffusion_lab.layer.smallest import smallest_log
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.field import VectorField

_COINCIDENT = 1e-10  # of a row's mean cost: what rounding leaves of zero


def plan(logits: Blocks, iterations: int) -> Iterator[Tensor]:
    """Entropic transport plan for uniform marginals, scaled so that each row sums to 1.

    Sinkhorn's algorithm (Cuturi 2013, algorithm 1). The first iteration is done on logarithms; after it
    no row or column of the kernel can vanish, and the others are plain matrix-vector products.

    Args:
        logits: ``[N, M]``, the log softmax of -cost / (weight of the entropy) in each row; overwritten.
        iterations: how often both marginals are enforced, the rows' last.

    Yields:
        The rows ``[n, M]`` of each block; they sum to 1 exactly, columns to N/M up to convergence.
    """
    log_columns = log_column_sums(logits)
    least = smallest_log(log_columns.dtype)
    logits.apply_(lambda block: block.sub_(log_columns).clamp_min_(least).exp_())
    kernel, columns = logits, torch.ones_like(log_columns)
    n, m = kernel.rows[-1].stop, len(columns)
    for _ in range(iterations - 1):
        pulls = [(1 / (block @ columns)) @ block for block in kernel]
        columns = (n / m) / torch.stack(pulls).sum(dim=0)
    for block in kernel:
        scaled = block * columns
        yield scaled / scaled.sum(dim=1, keepdim=True)


class Sinkhorn(VectorField):
    """V = P_xy y - P_xx x with entropic transport plans P (He et al. 2026, arXiv 2603.12366).

    The negative gradient of the Sinkhorn divergence between both batches, up to its scale. Unlike drift
    with one-sided kernels, V = 0 implies equal distributions, at every temperature.

    Deviation: no point is transported onto itself. Left to itself each draft would keep its own mass in
    P_xx, while in P_xy it never meets its equal; the repulsion is then too weak by what a batch cannot
    resolve, and drafts contract. Without the pairs of distance zero the field has no such bias, and is
    still exactly zero between equal sets.

    Args:
        feature: where to compare.
        temperature: entropy of the plans, in units of the mean squared distance.
        iterations: Sinkhorn iterations per plan.
    """

    def __init__(
        self, feature: Feature, temperature: PositiveFloat = 0.05, iterations: PositiveInt = 10
    ) -> None:
        super().__init__(feature)
        self.temperature = temperature
        self.iterations = iterations

    def field(self, generated: Tensor, real: Tensor) -> Tensor:
        return (self.transport(generated, real) - self.transport(generated, generated))[None]

    def transport(self, source: Tensor, target: Tensor) -> Tensor:
        """Barycentre of where each source point's mass goes, ``[N, D]``."""
        targets = Targets(target)

        def logits(rows: slice) -> Tensor:
            cost = targets.squared_distance(source[rows]) / source.shape[1]
            cost.masked_fill_(cost < _COINCIDENT * cost.mean(dim=1, keepdim=True), FAR)
            return (-cost / self.temperature).log_softmax(dim=1)

        blocks = Blocks(row_blocks(source, len(target)), logits)
        return torch.cat([rows @ target for rows in plan(blocks, self.iterations)])
