"""Where an objective compares: the features of samples in which generated meets real."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeInt
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.layer.ranks import gather, strided_rows
from stable_diffusion_lab.model import Pair


class Feature(nn.Module, ABC):
    """Maps drafts and real data to the points that an objective holds against each other.

    Args:
        bank: real points kept from earlier batches, over all ranks, and compared with beside those of the
            batch; 0 for none. They are as old as they are: a bank suits features that stand still.
    """

    def __init__(self, bank: NonNegativeInt = 0) -> None:
        super().__init__()
        self.bank = bank
        self.kept: list[Tensor] = []

    @abstractmethod
    def compare(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        """Pairs of generated ``[N, ...]`` and real ``[M, ...]`` points, e.g. one for each stage and layer.

        The gradient reaches the generator alone; real points carry no graph.
        """

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        """``compare``, with the bank's points among the real ones."""
        fresh = self.compare(model, batch, draft)
        return self.remember(fresh) if self.bank else fresh

    @torch.no_grad()
    def remember(self, fresh: list[Comparison]) -> list[Comparison]:
        """Put this step's real points into the bank, and what was in it beside them."""
        kept = self.kept or [c.real[:0] for c in fresh]
        pairs = [
            Comparison(c.generated, torch.cat([c.real, strided_rows(old)]))
            for c, old in zip(fresh, kept, strict=True)
        ]
        everyone = [gather(c.real) for c in fresh]
        self.kept = [torch.cat([new, old])[: self.bank] for new, old in zip(everyone, kept, strict=True)]
        return pairs

    # What is kept has the size of the samples seen, so it cannot be a buffer; it is in the checkpoint all the
    # same. All ranks keep the same points, so none need be broadcast.
    def get_extra_state(self) -> list[Tensor]:
        return list(self.kept)

    def set_extra_state(self, state: list[Tensor]) -> None:
        self.kept = list(state)
