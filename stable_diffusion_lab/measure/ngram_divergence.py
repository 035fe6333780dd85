"""Divergence of the frequencies of short sequences of tokens."""

from typing import ClassVar

import numpy
from torch import Tensor

from stable_diffusion_lab.measure.base import TextMeasure
from stable_diffusion_lab.measure.hashing import Counts, count_ngrams

LONGEST = 5


class NGramDivergence(TextMeasure):
    """Divergences of n-grams of tokens, real and generated, n = 1 to 5, in bits.

    ``js1`` to ``js5`` are Jensen-Shannon divergences (Lin 1991) of the frequencies that occur. ``kl1`` to
    ``kl5`` are KL(real || generated), which punishes what samples lack. It is infinite for an n-gram that
    they never have, so half an occurrence is added to each that either side has (Krichevsky & Trofimov 1981).

    Of long n-grams most occur once, and the divergence of two halves of the same text is far from 0. Compare
    values of equal sample counts, next to their floor. Half an occurrence weighs less where there are more:
    if all n-grams occur once, on one side or the other, KL is 0.8 bits and JS is 1.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {
        f"{name}{n}": False for name in ("js", "kl") for n in range(1, LONGEST + 1)
    }

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        found = dict.fromkeys(self.higher_is_better, float("nan"))  # of sequences longer than a sample: none
        for n in range(1, min(LONGEST, real.shape[1]) + 1):
            counts = count_ngrams(real, n), count_ngrams(generated, n)
            found[f"js{n}"] = jensen_shannon(*counts)
            found[f"kl{n}"] = kullback_leibler(*counts)
        return found


def jensen_shannon(first: Counts, second: Counts) -> float:
    """In bits. 1 if one of them has nothing."""
    if not len(first.keys) or not len(second.keys):
        return 1.0
    keys = numpy.union1d(first.keys, second.keys)
    p, q = (each.of(keys) / each.counts.sum() for each in (first, second))
    middle = (p + q) / 2
    return sum(float(numpy.sum(x[x > 0] * numpy.log2(x[x > 0] / middle[x > 0]))) for x in (p, q)) / 2


def kullback_leibler(first: Counts, second: Counts) -> float:
    """KL(first || second) in bits, of counts to each of which a half is added. 0 if neither has anything."""
    keys = numpy.union1d(first.keys, second.keys)
    p, q = ((each.of(keys) + 0.5) / (each.counts.sum() + 0.5 * len(keys)) for each in (first, second))
    return float(numpy.sum(p * numpy.log2(p / q)))
