"""Files whose contents a pair can restore."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

MaskSpec = str | Sequence[float] | None  # what a user says is lost; the ``Reader`` knows what it means


class Opened(ABC):
    """One file in memory, as samples of whatever size it has.

    Attributes:
        path: where it was read.
        whole: ``[M, C, *size]`` in [-1, 1], with C as the pair has it: M samples lie on top of each other.
        seen: 1 where ``whole`` is to be trusted, 0 where it is lost, float ``[M, 1, *size]``.
        suffix: how the name of a result ends, with its dot.
        masks: what a user may say is lost, for a message.
    """

    masks: ClassVar[str]

    path: Path
    whole: Tensor
    seen: Tensor
    suffix: str

    def parted(self) -> Self:
        """The same, where what is restored may differ between channels that are all equal in the file.

        Raises:
            DataError: if no file could hold that without loss.
        """
        return self

    @abstractmethod
    def encode(self, completed: Tensor, exact: Tensor) -> bytes:
        """A file of the same kind with other contents.

        Args:
            completed: ``[M, C, *size]``.
            exact: not 0 where the file was known exactly and is to stay, bit for bit, ``[M, 1, *size]``.
        """

    @abstractmethod
    def view(self, samples: Tensor) -> Tensor:
        """Samples ``[N, M, C, *size]`` as the modality shows them, ``[N, channels, *size]``."""

    @abstractmethod
    def spread(self, completed: Tensor) -> Tensor:
        """How far completions ``[N, M, C, *size]`` are apart, as one sample ``[1, M, C, *size]``."""


class Reader(ABC):
    """Opens files for pairs with samples of one shape.

    Attributes:
        noun: what several files are called in a message.
        suffixes: what their names end in, in small letters with the dot.
    """

    noun: ClassVar[str]
    suffixes: ClassVar[frozenset[str]]

    @abstractmethod
    def open(self, path: Path) -> Opened:
        """Read a file.

        Raises:
            DataError: if it cannot be read or restored without loss, or the mask is not of its size.
        """
