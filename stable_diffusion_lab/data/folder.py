"""What all folders of files have in common: which split each file is in, and what is said of bad ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from stable_diffusion_lab.error import DataError, listed

T = TypeVar("T")


def tenth(file: str) -> int:
    """Which of ten equal shares of all possible paths a path falls into, or any text; not all are UTF-8."""
    return int.from_bytes(hashlib.sha256(file.encode(errors="surrogateescape")).digest()[:8], "big") % 10


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
        found = f"{len(problems)} of {len(results)} {noun} unreadable"
        raise DataError(tag, f"{folder}: {found}, remove or replace them: {listed(problems)}")
    return [result for result in results if not isinstance(result, str)]
