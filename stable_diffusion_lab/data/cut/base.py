"""How text becomes samples."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy
import torch
from torch import Tensor

from stable_diffusion_lab.layer.ending import END
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer

# Stretches of text of the three splits.
Parts = dict[str, list[str]]


class Cut(ABC):
    """Shares text out among the splits, and cuts samples of L tokens."""

    @abstractmethod
    def share(self, texts: Mapping[str, str]) -> Parts:
        """Stretches of text by split, ``train``, ``validation`` and ``test``.

        Args:
            texts: contents of the files, by their name inside the folder.

        Raises:
            DataError: if the text is not such that it can be shared out.
        """

    @abstractmethod
    def rows(self, stretches: Sequence[str], tokenizer: Tokenizer, length: int, training: bool) -> Tensor:
        """Samples ``[N, length]`` of token numbers, int64, from the stretches of one split."""

    def overlap(self, length: int) -> int:
        """How many training samples of ``length`` tokens hold the same token."""
        return 1


def split_of(name: str) -> str:
    """The split of a text, 80/10/10 by the hash of its name: adding texts moves none of the others."""
    tenth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10
    return {8: "validation", 9: "test"}.get(tenth, "train")


def padded(rows: Sequence[numpy.ndarray], length: int) -> Tensor:
    """``[N, length]`` int64: the first tokens of each, and ends after them."""
    table = torch.full((len(rows), length), END, dtype=torch.int64)
    for index, tokens in enumerate(rows):
        table[index, : len(tokens)] = torch.from_numpy(tokens[:length])
    return table
