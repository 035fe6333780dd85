"""Windows onto running text."""

import re
from collections.abc import Mapping, Sequence

import numpy
import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.data.cut.base import Cut, Parts
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Windows(Cut):
    """Samples of L tokens that begin where a word does. The ends of each file are held out.

    Training windows overlap, held-out ones do not.

    Args:
        stride: least distance between the beginnings of two training windows, in tokens.
        held_out: share of each file's characters that is validation, and again that is test.
    """

    def __init__(self, stride: PositiveInt = 8, held_out: Fraction = 0.05) -> None:
        self.stride = stride
        self.held_out = held_out

    def share(self, texts: Mapping[str, str]) -> Parts:
        parts: Parts = {"train": [], "validation": [], "test": []}
        for text in texts.values():
            first, second = (_boundary(text, round(len(text) * (1 - n * self.held_out))) for n in (2, 1))
            parts["train"].append(text[:first])
            parts["validation"].append(text[first:second])
            parts["test"].append(text[second:])
        return parts

    def overlap(self, length: int) -> int:
        return max(1, length // self.stride)

    def rows(self, stretches: Sequence[str], tokenizer: Tokenizer, length: int, training: bool) -> Tensor:
        pieces = tokenizer.pieces()
        after = numpy.array([piece[-1:].isspace() for piece in pieces])
        before = numpy.array([len(piece) > 1 and piece[0].isspace() for piece in pieces])
        stride = self.stride if training else length
        return torch.cat([_windows(tokenizer.encode(it), after, before, stride, length) for it in stretches])


def _boundary(text: str, place: int) -> int:
    """The first beginning of a word at or after a place, or the place itself where there is none."""
    found = re.compile(r"\s+").search(text, max(0, place - 1))
    return found.end() if found else place


def _windows(
    tokens: numpy.ndarray, after: numpy.ndarray, before: numpy.ndarray, stride: int, length: int
) -> Tensor:
    """Windows ``[N, length]`` at the beginnings of words, at least ``stride`` tokens apart.

    Args:
        tokens: of one stretch, ``[n]``.
        after: whether a word may begin after a token, ``[V]``.
        before: whether a token begins a word by itself, ``[V]``.
        stride: in tokens.
        length: in tokens.
    """
    if len(tokens) < length:
        return torch.empty(0, length, dtype=torch.int64)
    begins = before[tokens]
    begins[1:] |= after[tokens[:-1]]
    begins[0] = True
    # The first beginning at or after each multiple of the stride; the same for several is taken once.
    begun = numpy.flatnonzero(begins[: len(tokens) - length + 1])
    places = numpy.searchsorted(begun, numpy.arange(0, len(tokens) - length + 1, stride))
    starts = begun[numpy.unique(places[places < len(begun)])]
    return torch.from_numpy(tokens[starts[:, None] + numpy.arange(length)])
