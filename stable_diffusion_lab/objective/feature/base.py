"""Where an objective compares: the features of samples in which generated meets real."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeInt
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.extractor.base import TrainingData
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.ranks import gather, strided_rows


class Feature(nn.Module, ABC):
    """Maps drafts and real data to the points that an objective holds against each other.

    Args:
        bank: real points kept from earlier batches, over all ranks, and compared with beside those of the
            batch; 0 for none. They are as old as they are: a bank suits features that stand still. Each
            rank takes an equal share; what cannot be shared out evenly is left out.
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

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Get ready for a data set; called once before a fresh run, on every rank.

        A resumed run finds in its checkpoint whatever this has learnt or read.

        Args:
            data: what the samples are to resemble.
            cache: folder for anything worth keeping between runs.
        """

    def scale(self, pairs: list[Comparison]) -> list[Comparison]:
        """The last word on the points, the bank's among them; leaves them as they are unless it is told."""
        return pairs

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        """``compare``, with the bank's points among the real ones."""
        fresh = self.compare(model, batch, draft)
        return self.scale(self.remember(fresh) if self.bank else fresh)

    def remember(self, fresh: list[Comparison]) -> list[Comparison]:
        """Put this step's real points into the bank, and what was in it beside them."""
        kept = [old.to(c.real) for old, c in zip(self.kept, fresh, strict=True)] if self.kept else None
        kept = kept or [c.real[:0] for c in fresh]
        self.kept = [
            torch.cat([old, in_order(c.real)])[-self.bank :].clone()
            for old, c in zip(kept, fresh, strict=True)
        ]
        return [
            Comparison(c.generated, torch.cat([c.real, strided_rows(old)]))
            for c, old in zip(fresh, kept, strict=True)
        ]

    # What is kept has the size of the samples seen, so it cannot be a buffer; it is in the checkpoint all the
    # same. All ranks keep the same points, so none need be broadcast.
    def get_extra_state(self) -> list[Tensor]:
        return list(self.kept)

    def set_extra_state(self, state: list[Tensor]) -> None:
        self.kept = list(state)


def in_order(x: Tensor) -> Tensor:
    """Rows of all ranks as one process would see them: rank r of W holds row r and every W-th after it."""
    return gather(x).unflatten(0, (-1, len(x))).transpose(0, 1).flatten(0, 1)
