"""What all folders of files have in common: which files there are, which split each is in, what is bad."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from stable_diffusion_lab.error import DataError

NAMED_PROBLEMS = 10
T = TypeVar("T")


def find(folder: Path, suffixes: Collection[str], key: str = "data.path") -> Iterator[str]:
    """Paths, relative to the folder, of the files below it that end in one of ``suffixes``.

    Hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: in lower case, with their dots.
        key: what to set if there is no such folder, for the message.

    Raises:
        DataError: if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError("DATA-MISSING", f"{error.filename}: {error.strerror}; set {key}") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (Path(parent) / name).relative_to(folder).as_posix()


def tenth(file: str) -> int:
    """Which of ten equal shares of all possible paths a path falls into."""
    return int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:8], "big") % 10


def divided(share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Masks ``[N]`` of the training, validation and test split, 80/10/10, of samples in tenths ``[N]``."""
    return share < 8, share == 8, share == 9


def whole(results: Sequence[T | str], tag: str, folder: Path, noun: str) -> list[T]:
    """What was read of each file, or one error that names the files at fault.

    Args:
        results: what was read, or in its place the file's name and what is wrong with it.
        tag: of the error.
        folder: that the files lie in.
        noun: what several files are called.

    Raises:
        DataError: if there is a file at fault.
    """
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        rest = len(problems) - NAMED_PROBLEMS
        named = "; ".join(problems[:NAMED_PROBLEMS]) + (f"; and {rest} more" if rest > 0 else "")
        found = f"{len(problems)} of {len(results)} {noun} unreadable"
        message = f"{folder}: {found}, remove or replace them: {named}"
        raise DataError(tag, message.replace("\n", " "))
    return [result for result in results if not isinstance(result, str)]
