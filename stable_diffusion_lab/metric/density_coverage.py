"""Density and coverage."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.metric.neighbours import squared_distances, squared_radii


class DensityCoverage(Metric):
    """How crowded and how many real neighbourhoods are (Naeem et al. 2020, eq. 4-5).

    Density is the mean number of neighbourhoods of real samples that a generated sample falls into, over
    k: fidelity that an outlier cannot fake; may exceed one. Coverage is the share of real
    neighbourhoods with a generated sample inside: variety. Both are one for the data itself.

    Args:
        k: which neighbour bounds a neighbourhood.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"density": True, "coverage": True}

    def __init__(self, k: PositiveInt = 5) -> None:
        self.k = k

    def least(self, feature_dim: int) -> int:
        return self.k + 1

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        reach = squared_radii(real, self.k)
        inhabited = 0
        covered = torch.zeros(len(real), dtype=torch.bool)
        for rows, distance in squared_distances(real, generated):
            inside = distance < reach[rows, None]
            inhabited += int(inside.sum())
            covered[rows] = inside.any(dim=1)
        density = inhabited / (self.k * len(generated))
        return {"density": density, "coverage": covered.double().mean().item()}
