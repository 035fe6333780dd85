"""Batches whose content is computed from their number."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.seeding import fold

_IMAGE = Image()
ORDERED = 2**22  # samples whose order is in memory at once


class Batches:
    """The training data as one sequence of shuffled batches, of samples as they are stored and their labels.

    Batch t is a pure function of (seed, t): it is batch j of pass p with ``p, j = divmod(t, per_pass)``,
    and each pass has its own permutation. A pass is over all samples, or of more than four million over every
    k-th, those beside them in the next one: the order has to be in memory. Nothing has to be saved to resume,
    and all ranks together see what one process with the same global batch would. Samples that do not fill a
    batch wait for a later pass.

    Args:
        split: samples.
        batch_size: samples per process and batch.
        seed: keys the permutations.
        steps: number of batches in the whole run.
        rank: number of this process.
        world: number of processes; a global batch has ``batch_size * world`` samples.
        modality: makes of stored samples what networks see, best on the device: stored ones are smaller.

    Attributes:
        first: number of the first batch to yield, to be set when a run resumes.

    Raises:
        ConfigError: if the split does not fill a single global batch.
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
        self.passes = -(-len(split.samples) // ORDERED)  # that it takes to see all samples
        self.per_pass = len(split.samples) // self.passes // self.global_batch if self.passes else 0
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        if self.per_pass == 0:
            batch = f"{batch_size} x {world} processes" if world > 1 else f"{batch_size}"
            found = f"the train split has {len(split.samples)} {modality.noun}"
            raise ConfigError("CFG-FIT", f"batch_size: {batch}, where {found}; lower it")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for t in range(self.first, self.steps):
            chosen = self.indices(t)
            samples, labels = self.split
            yield samples[chosen], None if labels is None else labels[chosen]

    def indices(self, t: int) -> Tensor:
        """Which samples this process sees in batch t, ``[batch_size]`` int64."""
        number, j = divmod(t, self.per_pass)
        if self._order[0] != number:
            rng = torch.Generator().manual_seed(fold(self.seed, number))
            seen = range(number % self.passes, len(self.split.samples), self.passes)
            self._order = (number, torch.randperm(len(seen), generator=rng) * seen.step + seen.start)
        start = j * self.global_batch
        return self._order[1][start : start + self.global_batch][self.rank :: self.world]
