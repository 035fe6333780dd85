"""What every data set is once it is loaded."""

import hashlib
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from stable_diffusion_lab.error import DataError


class Split(NamedTuple):
    """Images in memory.

    Attributes:
        images: ``[N, C, H, W]`` uint8.
        labels: class of each image, ``[N]`` int64; ``None`` where the data has no labels.
    """

    images: Tensor
    labels: Tensor | None


class Data:
    """A data set in memory. A subclass loads three splits and hands them over.

    Args:
        name: short name for logs and folders.
        shape: ``(C, H, W)`` of one image, as the config promises it to the networks.
        train: what the pair learns from.
        validation: what is watched during training.
        test: what is reported.

    Raises:
        DataError: if a split is empty, its images are not of ``shape``, or all its pixels are equal.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], train: Split, validation: Split, test: Split
    ) -> None:
        self.name = name
        self.shape = tuple(shape)
        self.train = train
        self.validation = validation
        self.test = test
        for part, split in self.splits.items():
            self._check(part, split.images)

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when any pixel, label or the order of images does."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for tensor in split:
                if tensor is not None:
                    digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                    digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def _check(self, part: str, images: Tensor) -> None:
        if len(images) == 0:
            raise DataError("DATA-EMPTY", f"{self.name}: the {part} split has no images; add some")
        if images.shape[1:] != self.shape:
            found = list(images.shape[1:])
            raise DataError("DATA-SHAPE", f"{self.name}: images are {found}, set data.shape={found}")
        if images.min() == images.max():
            message = f"{self.name}: every pixel of the {part} split is {int(images.min())}; check the files"
            raise DataError("DATA-RANGE", message)
