"""BLEU against held-out text, and of samples against each other."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.measure.base import TextMeasure

Grams = Counter[tuple[str, ...]]


class BLEU(TextMeasure):
    """Corpus BLEU (Papineni et al. 2002) of samples, each with all real ones as references: fidelity.

    Self-BLEU (Zhu et al. 2018), with all other samples as references: likeness, high where variety is lost.
    Of words between blanks, without smoothing. One pass over all n-grams instead of one for each pair.

    Args:
        order: longest n-gram in words.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"bleu": True, "self_bleu": False}

    def __init__(self, order: PositiveInt = 3) -> None:
        self.order = order

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        references, samples = (
            [text.split() for text in self.modality.texts(stored)] for stored in (real, generated)
        )
        return {"bleu": bleu(samples, references, self.order), "self_bleu": self_bleu(samples, self.order)}


def bleu(samples: Sequence[Sequence[str]], references: Sequence[Sequence[str]], order: int) -> float:
    """Corpus BLEU of samples of words, each against all references."""
    most: Grams = Counter()
    for reference in references:
        for gram, n in grams(reference, order).items():  # `most |=` would look through all of it each time
            most[gram] = max(most[gram], n)
    clipped = [grams(sample, order) & most for sample in samples]
    lengths = numpy.array([len(reference) for reference in references])
    return _score(samples, clipped, [_closest(lengths, len(sample)) for sample in samples], order)


def self_bleu(samples: Sequence[Sequence[str]], order: int) -> float:
    """Corpus BLEU of samples of words, each against all others."""
    each = [grams(sample, order) for sample in samples]
    most: Grams = Counter()  # how often the one with most has it, and the one with second most
    second: Grams = Counter()
    for counts in each:
        for gram, n in counts.items():
            second[gram] = max(second[gram], min(n, most[gram]))
            most[gram] = max(most[gram], n)
    clipped = [
        Counter({gram: min(n, second[gram] if n == most[gram] else most[gram]) for gram, n in counts.items()})
        for counts in each
    ]
    lengths = numpy.array([len(sample) for sample in samples])
    others = (numpy.delete(lengths, index) for index in range(len(samples)))
    closest = [_closest(rest, int(length)) for rest, length in zip(others, lengths, strict=True)]
    return _score(samples, clipped, closest, order)


def grams(words: Sequence[str], order: int) -> Grams:
    """Sequences of one to ``order`` words, and how often each occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1))


def _closest(lengths: numpy.ndarray, length: int) -> int:
    """The length nearest to another; 0 if there is none."""
    return int(lengths[numpy.abs(lengths - length).argmin()]) if len(lengths) else 0


def _score(
    samples: Sequence[Sequence[str]], clipped: Sequence[Grams], closest: Sequence[int], order: int
) -> float:
    hits = Counter(size for counts in clipped for gram, n in counts.items() for size in [len(gram)] * n)
    totals = [sum(max(0, len(sample) - n + 1) for sample in samples) for n in range(1, order + 1)]
    if not all(totals) or not all(hits[n] for n in range(1, order + 1)):
        return 0.0
    precision = numpy.mean([numpy.log(hits[n] / total) for n, total in enumerate(totals, start=1)])
    brevity = min(0.0, 1 - sum(closest) / totals[0])
    return float(numpy.exp(precision + brevity))
