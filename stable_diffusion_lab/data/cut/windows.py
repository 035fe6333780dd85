"""Windows onto running text."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy

from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.data.cut.base import Cut, Cutter, Passage, Strip
from stable_diffusion_lab.data.text_file import Stretch, boundary, whole, words
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Windows(Cut):
    """Samples of L tokens that begin where a word does. The ends of each file are held out.

    Training windows overlap; of held-out ones there is one for each L tokens.

    Args:
        stride: tokens for each of which there is a training window at most.
        held_out: share of each file's bytes that is validation, and again that is test; less than a half.

    Raises:
        ConfigError: if nothing is left to learn from.
    """

    def __init__(self, stride: PositiveInt = 8, held_out: Fraction = 0.05) -> None:
        if held_out >= 0.5:
            raise ConfigError("CFG-VALUE", f"cut.held_out: {held_out}; wants < 0.5, for it is held out twice")
        self.stride = stride
        self.held_out = held_out

    def passages(self, path: Path, name: str) -> Iterator[Passage]:
        size = whole(path).end
        first, second = (boundary(path, round(size * (1 - n * self.held_out))) for n in (2, 1))
        for split, begin, end in (
            ("train", 0, first),
            ("validation", first, second),
            ("test", second, size),
        ):
            yield Passage(split, words(Stretch(path, begin, end)))

    def overlap(self, length: int) -> int:
        return max(1, length // self.stride)

    def cutter(self, tokenizer: Tokenizer, length: int, training: bool) -> Cutter:
        kinds = tokenizer.pieces()
        after = numpy.array([piece[-1:].isspace() for piece in kinds])
        before = numpy.array([len(piece) > 1 and piece[0].isspace() for piece in kinds])
        stride = self.stride if training else length
        return partial(_windows, after=after, before=before, stride=stride, length=length)


def _windows(
    tokens: Iterable[numpy.ndarray], after: numpy.ndarray, before: numpy.ndarray, stride: int, length: int
) -> Iterator[Strip]:
    """Windows at the beginnings of words, about ``stride`` tokens apart.

    They are the first beginning at or after each multiple of the stride; the same for several is taken once.

    Args:
        tokens: of one passage, in pieces.
        after: whether a word may begin after a token, ``[V]``.
        before: whether a token begins a word by itself, ``[V]``.
        stride: in tokens.
        length: in tokens.
    """
    seen, blank, multiple = 0, True, 0  # blank: whether a word may begin after the tokens seen
    waiting = numpy.empty(0, dtype=numpy.int64)  # beginnings whose windows are not whole yet
    for piece in filter(len, tokens):
        begins = before[piece]
        begins[1:] |= after[piece[:-1]]
        begins[0] |= blank
        begun = numpy.flatnonzero(begins) + seen
        if len(begun):
            wanted = numpy.arange(multiple, begun[-1] + 1, stride)
            multiple += len(wanted) * stride
            waiting = numpy.concatenate([waiting, numpy.unique(begun[numpy.searchsorted(begun, wanted)])])
        seen, blank = seen + len(piece), after[piece[-1]]
        whole_ones = numpy.searchsorted(waiting, seen - length, side="right")
        yield Strip(piece, waiting[:whole_ones])
        waiting = waiting[whole_ones:]
