"""Objectives that hold generated points against real ones."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.feature.base import Feature


class Comparing(Objective):
    """The mean of one comparison over all that the feature space offers: stages and layers.

    Args:
        feature: where to compare.
    """

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self.feature = feature

    @abstractmethod
    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Scalars by player for generated ``[N, ...]`` and real ``[M, ...]`` points of this rank."""

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        found = [self.terms(pair.generated, pair.real) for pair in self.feature(model, batch, draft)]
        return {player: torch.stack([terms[player] for terms in found]).mean() for player in found[0]}
