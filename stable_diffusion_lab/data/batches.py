"""Batches whose content is computed from their number."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.seeding import fold
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import Image

_IMAGE = Image()


class Batches:
    """The training data as one sequence of shuffled batches.

    Batch t is a pure function of (seed, t): it is batch j of epoch e with ``e, j = divmod(t, per_epoch)``,
    and each epoch has its own permutation. Nothing has to be saved to resume, and all ranks together see
    what one process with the same global batch would. Samples that do not fill a batch wait for the
    next epoch.

    Args:
        split: samples in memory.
        batch_size: samples per process and batch.
        seed: keys the permutations.
        steps: number of batches in the whole run.
        rank: number of this process.
        world: number of processes; a global batch has ``batch_size * world`` samples.
        modality: what the samples are.

    Attributes:
        first: number of the first batch to yield, to be set when a run resumes.

    Raises:
        DataError: if the split does not fill a single global batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        steps: int,
        rank: int = 0,
        world: int = 1,
        modality: Modality = _IMAGE,
    ) -> None:
        self.split = split
        self.modality = modality
        self.global_batch = batch_size * world
        self.seed = seed
        self.steps = steps
        self.rank = rank
        self.world = world
        self.first = 0
        self.per_epoch = len(split.samples) // self.global_batch
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        if self.per_epoch == 0:
            batch = f"{batch_size} x {world} processes" if world > 1 else f"{batch_size}"
            found = f"{len(split.samples)} {modality.noun}"
            message = f"the train split has {found}, batch_size is {batch}; lower batch_size"
            raise DataError("DATA-EMPTY", message)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        for t in range(self.first, self.steps):
            chosen = self.indices(t)
            samples, labels = self.split
            yield Batch(self.modality.to_sample(samples[chosen]), None if labels is None else labels[chosen])

    def indices(self, t: int) -> Tensor:
        """Which samples this process sees in batch t, ``[batch_size]`` int64."""
        epoch, j = divmod(t, self.per_epoch)
        if self._order[0] != epoch:
            rng = torch.Generator().manual_seed(fold(self.seed, epoch))
            self._order = (epoch, torch.randperm(len(self.split.samples), generator=rng))
        start = j * self.global_batch
        return self._order[1][start : start + self.global_batch][self.rank :: self.world]
