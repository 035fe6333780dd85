"""Short sequences of tokens as numbers, and how often each occurs."""

from typing import NamedTuple

import numpy
from torch import Tensor

from stable_diffusion_lab.layer.ending import END, alive

_FACTOR = numpy.uint64(6_364_136_223_846_793_005)  # of a linear congruential generator (Knuth)
_MIX = numpy.uint64(0x9E3779B97F4A7C15)


def ngrams(stored: Tensor, n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A number for each sequence of ``n`` tokens, equal for equal ones and, but for accidents, only for them.

    Args:
        stored: texts ``[N, L]``; the first end counts as a token, those after it do not.
        n: length of a sequence, at most L.

    Returns:
        Numbers ``[N, L - n + 1]`` uint64, and which of them are of the text and not of what is after it.
    """
    tokens = stored.numpy().astype(numpy.uint64)
    columns = tokens.shape[1] - n + 1
    found = numpy.zeros((len(tokens), columns), dtype=numpy.uint64)
    for offset in range(n):
        found = (found + tokens[:, offset : offset + columns] + numpy.uint64(1)) * _FACTOR
        found ^= found >> numpy.uint64(29)
    return found * _MIX, alive(stored == END)[:, n - 1 :].numpy()


class Counts(NamedTuple):
    """How often each of some numbers occurs; the numbers in rising order."""

    keys: numpy.ndarray
    counts: numpy.ndarray

    def of(self, wanted: numpy.ndarray) -> numpy.ndarray:
        """Counts of other numbers, 0 for those that do not occur, float64."""
        if len(self.keys) == 0:
            return numpy.zeros(wanted.shape)
        places = numpy.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return numpy.where(self.keys[places] == wanted, self.counts[places], 0.0)


def count(numbers: numpy.ndarray) -> Counts:
    """Count numbers ``[n]``."""
    keys, counts = numpy.unique(numbers, return_counts=True)
    return Counts(keys, counts.astype(numpy.float64))


def count_ngrams(stored: Tensor, n: int) -> Counts:
    """Count the sequences of ``n`` tokens of texts ``[N, L]``."""
    numbers, inside = ngrams(stored, n)
    return count(numbers[inside])
