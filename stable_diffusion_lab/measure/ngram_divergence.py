"""Divergence of the frequencies of short sequences of tokens."""

from typing import ClassVar

import numpy
from torch import Tensor

from stable_diffusion_lab.measure.base import TextMeasure
from stable_diffusion_lab.measure.hashing import Counts, count_ngrams

LONGEST = 5


class NGramDivergence(TextMeasure):
    """Jensen-Shannon divergence of n-grams of tokens, real and generated, n = 1 to 5 (Lin 1991), in bits.

    Frequencies are those that occur: of long n-grams most occur once, and the divergence of two halves of
    the same text is far from 0. Compare values of equal sample counts, next to their floor.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {f"js{n}": False for n in range(1, LONGEST + 1)}

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        found = dict.fromkeys(self.higher_is_better, float("nan"))  # of sequences longer than a sample: none
        for n in range(1, min(LONGEST, real.shape[1]) + 1):
            found[f"js{n}"] = jensen_shannon(count_ngrams(real, n), count_ngrams(generated, n))
        return found


def jensen_shannon(first: Counts, second: Counts) -> float:
    """In bits. 1 if one of them has nothing."""
    if not len(first.keys) or not len(second.keys):
        return 1.0
    keys = numpy.union1d(first.keys, second.keys)
    p, q = (each.of(keys) / each.counts.sum() for each in (first, second))
    middle = (p + q) / 2
    return sum(float(numpy.sum(x[x > 0] * numpy.log2(x[x > 0] / middle[x > 0]))) for x in (p, q)) / 2
