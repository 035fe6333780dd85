"""Tokens in files, which are looked at where they lie: there may be more of them than memory holds."""

import json
import os
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy
import torch
from torch import Tensor

from stable_diffusion_lab.data.cut.base import Strip
from stable_diffusion_lab.data.rows import Rows

_INDEX = "index.json"


class Part(NamedTuple):
    """The files of one split.

    Attributes:
        tokens: of all passages, one after the other.
        starts: where in them samples begin, int64.
        labels: class of each sample, int64; empty where there are no classes.
    """

    tokens: Path
    starts: Path
    labels: Path


def part(folder: Path, split: str) -> Part:
    """Where in a folder the files of a split lie."""
    return Part(*(folder / f"{split}.{kind}" for kind in Part._fields))


class Writer:
    """Appends passages to the files of a split.

    Args:
        files: to be made.
        dtype: of a token, of numpy.
    """

    def __init__(self, files: Part, dtype: numpy.dtype[Any]) -> None:
        self.dtype = dtype
        self.written = 0
        self.stack = ExitStack()
        self.tokens, self.starts, self.labels = (self.stack.enter_context(it.open("wb")) for it in files)

    def add(self, passage: Iterable[Strip], label: int | None) -> None:
        """Write one passage, all of whose samples are of a class, if there are classes."""
        first = self.written
        for tokens, starts in passage:
            self.tokens.write(tokens.astype(self.dtype).data)
            self.starts.write((starts + first).astype(numpy.int64).data)
            self.written += len(tokens)
            if label is not None:
                self.labels.write(numpy.full(len(starts), label, numpy.int64).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.stack:
            for file in (self.tokens, self.starts, self.labels):
                file.flush()
                os.fsync(file.fileno())


def samples(files: Part, dtype: numpy.dtype[Any], length: int) -> tuple[Rows, Tensor | None]:
    """What has been written of a split, as samples of ``length`` tokens, and their classes."""
    starts, labels = (_mapped(path, numpy.dtype(numpy.int64)) for path in (files.starts, files.labels))
    return Rows(_mapped(files.tokens, dtype), starts, length), labels if len(labels) else None


def seal(folder: Path, facts: Any) -> None:
    """Write down what is to be known beside the files of a folder, and how large these are."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / _INDEX).write_text(json.dumps({"facts": facts, "sizes": sizes}))


def sealed(folder: Path) -> dict[str, Any] | None:
    """``{"facts": ...}``, what ``seal`` wrote down; ``None`` if the folder is not as it was then."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        sizes = index["sizes"].items()
        return index if all((folder / name).stat().st_size == size for name, size in sizes) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _mapped(path: Path, dtype: numpy.dtype[Any]) -> Tensor:
    """The numbers in a file ``[n]``, not to be written to."""
    if path.stat().st_size == 0:  # of which there is no map
        return torch.from_numpy(numpy.empty(0, dtype))
    with warnings.catch_warnings():
        # Maps that may be written, as torch.from_file makes, count as memory: systems refuse large ones.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(numpy.memmap(path, dtype, mode="r"))
