"""Batches whose content is computed from their number."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.image_range import to_sample
from stable_diffusion_lab.layer.seeding import fold


class Batches:
    """The training data as one sequence of shuffled batches.

    Batch t is a pure function of (seed, t): it is batch j of epoch e with ``e, j = divmod(t, per_epoch)``,
    and each epoch has its own permutation. Nothing has to be saved to resume, and all ranks together see
    what one process with the same global batch would. Images that do not fill a batch wait for the
    next epoch.

    Args:
        split: images in memory.
        batch_size: samples per process and batch.
        seed: keys the permutations.
        steps: number of batches in the whole run.
        rank: number of this process.
        world: number of processes; a global batch has ``batch_size * world`` samples.

    Attributes:
        first: number of the first batch to yield, to be set when a run resumes.

    Raises:
        DataError: if the split does not fill a single global batch.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, steps: int, rank: int = 0, world: int = 1
    ) -> None:
        self.split = split
        self.global_batch = batch_size * world
        self.seed = seed
        self.steps = steps
        self.rank = rank
        self.world = world
        self.first = 0
        self.per_epoch = len(split.images) // self.global_batch
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        if self.per_epoch == 0:
            batch = f"{batch_size} x {world} processes" if world > 1 else f"{batch_size}"
            message = (
                f"the train split has {len(split.images)} images, batch_size is {batch}; lower batch_size"
            )
            raise DataError("DATA-EMPTY", message)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        for t in range(self.first, self.steps):
            chosen = self.indices(t)
            labels = self.split.labels
            yield Batch(to_sample(self.split.images[chosen]), None if labels is None else labels[chosen])

    def indices(self, t: int) -> Tensor:
        """Which images this process sees in batch t, ``[batch_size]`` int64."""
        epoch, j = divmod(t, self.per_epoch)
        if self._order[0] != epoch:
            rng = torch.Generator().manual_seed(fold(self.seed, epoch))
            self._order = (epoch, torch.randperm(len(self.split.images), generator=rng))
        start = j * self.global_batch
        return self._order[1][start : start + self.global_batch][self.rank :: self.world]
