"""Improved precision and recall."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.metric.neighbours import squared_distances, squared_radii


class PrecisionRecall(Metric):
    """Shares of one set inside the neighbourhoods of the other (Kynkaanniemi et al. 2019, eq. 1-2).

    Precision is the share of generated samples within the k-th neighbour distance of some real sample:
    fidelity. Recall is the share of real samples, with the roles exchanged: variety.

    Args:
        k: which neighbour bounds a neighbourhood.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"precision": True, "recall": True}

    def __init__(self, k: PositiveInt = 3) -> None:
        self.k = k

    def least(self, feature_dim: int) -> int:
        return self.k + 1

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        real_reach, generated_reach = squared_radii(real, self.k), squared_radii(generated, self.k)
        precise = torch.zeros(len(generated), dtype=torch.bool)
        recalled = torch.zeros(len(real), dtype=torch.bool)
        for rows, distance in squared_distances(generated, real):
            precise[rows] = (distance <= real_reach).any(dim=1)
            recalled |= (distance <= generated_reach[rows, None]).any(dim=0)
        return {"precision": precise.double().mean().item(), "recall": recalled.double().mean().item()}
