"""What every data set is once it is loaded."""

import hashlib
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.spaced import nth_spaced, spaced
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import Image

SOME = 2**17


class Samples(Protocol):
    """``[N, ...]``: a tensor, or what makes parts of one when they are asked for."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: slice | Tensor, /) -> Tensor: ...


class Split(NamedTuple):
    """Samples, in memory or in files that are larger.

    Attributes:
        samples: as the modality stores them: images ``[N, C, H, W]`` uint8, recordings ``[N, C, T]``
            int16, vectors ``[N, D]`` float32, texts ``[N, L]`` token numbers.
        labels: class of each sample, ``[N]`` int64; ``None`` where the data has no labels.
    """

    samples: Samples
    labels: Tensor | None

    def some(self, limit: int = SOME, apart: int = 1) -> tuple[Tensor, Tensor | None]:
        """Samples and labels that stand for all of them, in memory: evenly spaced, the same ones at any time.

        Args:
            limit: most of them.
            apart: least distance between two.
        """
        total = len(self.samples)
        count = min(limit, total, max(1, total // apart))
        chosen = spaced(total, count)
        return self.samples[chosen], None if self.labels is None else self.labels[chosen]


class Data:
    """A data set. A subclass loads three splits and hands them over.

    Args:
        name: short name for logs and folders.
        shape: of one sample, as the config promises it to the networks: ``(C, H, W)`` of an image.
        train: what the pair learns from.
        validation: what is watched during training.
        test: what is reported.
        classes: number of classes K, as the config promises it to the networks; 0 if labels are of no use.

    Raises:
        DataError: if a split is empty, its samples are not of ``shape``, or all their numbers are equal; or,
            where ``classes`` are promised, it has no labels or one that is not from 0 to K - 1.

    Attributes:
        overlap: how many training samples hold the same entry, as windows onto running text do.
        modality: what a sample is; where that depends on the files, a subclass sets it before it hands over.
    """

    modality: Modality = Image()
    overlap: int = 1

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        train: Split,
        validation: Split,
        test: Split,
        *,
        classes: int = 0,
    ) -> None:
        self.name = name
        self.shape = tuple(shape)
        self.train = train
        self.validation = validation
        self.test = test
        self.classes = classes
        for part, split in self.splits.items():
            self._check(part, split)
            if classes:
                self._check_labels(part, split.labels)

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when any number, label or the order of samples does."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for entries in split:
                if entries is not None:
                    digest.update(f"{entries.dtype}{tuple(entries.shape)}".encode())
                    for first in range(0, len(entries), SOME):
                        digest.update(entries[first : first + SOME].contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def stored(self, split: str) -> Tensor:
        """Samples ``[N, ...]`` that stand for a split (see ``Split.some``), by its name."""
        return self.splits[split].some()[0]

    def count(self, split: str) -> int:
        """How many samples stand for a split."""
        return min(SOME, len(self.splits[split].samples))

    def pick(self, split: str, rows: Tensor) -> Tensor:
        """Those of ``stored(split)`` that number ``rows`` ``[n]``; no others are read."""
        samples = self.splits[split].samples
        return samples[nth_spaced(rows, len(samples), self.count(split))]

    def _check(self, part: str, split: Split) -> None:
        noun, entry = self.modality.noun, self.modality.entry
        samples, _ = split.some()
        if len(samples) == 0:
            raise DataError("DATA-EMPTY", f"{self.name}: the {part} split has no {noun}; add some")
        if samples.shape[1:] != self.modality.stored_shape(self.shape):
            found = list(samples.shape[1:])
            raise DataError("DATA-SHAPE", f"{self.name}: {noun} are {found}, set data.shape={found}")
        if samples.min() == samples.max():
            value = samples.min().item()
            message = f"{self.name}: every {entry} of the {part} split is {value:g}; check the files"
            raise DataError("DATA-RANGE", message)

    def _check_labels(self, part: str, labels: Tensor | None) -> None:
        if labels is None:
            message = f"{self.name}: the {part} split has no labels, set data.classes=0"
            raise DataError("DATA-LABELS", message)
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            found = f"labels of the {part} split are {low} to {high}"
            message = f"{self.name}: {found}, data.classes={self.classes} wants 0 to {self.classes - 1}"
            raise DataError("DATA-LABELS", message)
