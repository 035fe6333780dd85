"""Sinkhorn drift: attraction and repulsion by optimal-transport plans."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.distance import FAR, squared_distance
from stable_diffusion_lab.layer.smallest import smallest_log
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.field import VectorField

_COINCIDENT = 1e-10  # of the mean cost: what rounding leaves of zero


def plan(cost: Tensor, temperature: float, iterations: int) -> Tensor:
    """Entropic transport plan for uniform marginals, scaled so that each row sums to 1.

    Sinkhorn's algorithm (Cuturi 2013, algorithm 1). The first iteration is done on logarithms; after it
    no row or column of the kernel can vanish, and the others are plain matrix-vector products.

    Args:
        cost: ``[N, M]``.
        temperature: weight of the entropy, in units of the cost.
        iterations: how often both marginals are enforced, the rows' last.

    Returns:
        ``[N, M]``; rows sum to 1 exactly, columns to N/M up to convergence.
    """
    n, m = cost.shape
    log_kernel = (-cost / temperature).log_softmax(dim=1).log_softmax(dim=0)
    kernel = log_kernel.clamp_min_(smallest_log(cost.dtype)).exp_().mul_(n / m)
    rows = 1 / kernel.sum(dim=1)
    columns = torch.ones_like(kernel[0])
    for _ in range(iterations - 1):
        columns = (n / m) / (rows @ kernel)
        rows = 1 / (kernel @ columns)
    return rows[:, None] * kernel * columns


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
        cost = squared_distance(source, target) / source.shape[1]
        cost = cost.masked_fill(cost < _COINCIDENT * cost.mean(), FAR)
        return plan(cost, self.temperature, self.iterations) @ target
