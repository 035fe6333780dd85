"""How text becomes samples."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy

from stable_diffusion_lab.data.folder import tenth
from stable_diffusion_lab.layer.ending import END
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Passage(NamedTuple):
    """A text that is cut by itself.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        text: in pieces; to be read once, and before the next passage.
    """

    split: str
    text: Iterator[str]


class Strip(NamedTuple):
    """Tokens that are kept for the samples of a passage.

    Attributes:
        tokens: those that follow the strip before, ``[n]``.
        starts: where the samples begin that are whole with them, ``[m]``, counted from the first token of the
            passage.
    """

    tokens: numpy.ndarray
    starts: numpy.ndarray


# From the tokens of a passage, in pieces, to strips of them; holds no more than one of them in memory.
Cutter = Callable[[Iterable[numpy.ndarray]], Iterator[Strip]]


class Cut(ABC):
    """Shares text out among the splits, and cuts samples of L tokens, a file and a piece of it at a time."""

    @abstractmethod
    def passages(self, path: Path, name: str) -> Iterator[Passage]:
        """What is in a file.

        Args:
            path: of the file.
            name: its path inside the folder, which stays the same wherever the folder is.

        Raises:
            DataError: if it is no text, or not such that it can be shared out.
        """

    @abstractmethod
    def cutter(self, tokenizer: Tokenizer, length: int, training: bool) -> Cutter:
        """What cuts samples of ``length`` tokens out of passages, training or held out."""

    def overlap(self, length: int) -> int:
        """How many training samples of ``length`` tokens hold the same token."""
        return 1


def split_of(name: str) -> str:
    """The split of a text, 80/10/10 by the hash of its name: adding texts moves none of the others."""
    return {8: "validation", 9: "test"}.get(tenth(name), "train")


def padded(tokens: Iterable[numpy.ndarray], length: int) -> Iterator[Strip]:
    """One sample: the first tokens of a passage, and ends after them."""
    row, filled = numpy.full(length, END), 0
    for piece in tokens:
        fits = piece[: length - filled]
        row[filled : filled + len(fits)] = fits
        filled += len(fits)
        if filled == length:
            break
    yield Strip(row, numpy.zeros(1, dtype=numpy.int64))
