"""An n-gram language model of tokens."""

import numpy
from torch import Tensor

from stable_diffusion_lab.measure.hashing import Counts, count, ngrams


class NGramModel:
    """Interpolated n-grams with Witten-Bell smoothing (Chen & Goodman 1998).

    p(w | c) = (n(c w) + t(c) p(w | c')) / (n(c) + t(c)),   n counts, t kinds of next tokens, c' shorter

    Args:
        train: training texts ``[N, L]``. Windows may overlap: counts are divided by how often a text of some
            length occurs on average.
        order: longest n-gram.
        vocabulary: number of tokens; each has the same probability where nothing is known.
    """

    def __init__(self, train: Tensor, order: int, vocabulary: int) -> None:
        self.order = min(order, train.shape[1])
        self.vocabulary = vocabulary
        self.overlap = _overlap(train)
        self.whole: list[Counts] = []  # of n-grams, n = 1 ...
        self.context: list[Counts] = []  # of what comes before the last token of each of these
        self.different: list[Counts] = []  # how many different n-grams begin with it
        for n in range(1, self.order + 1):
            numbers, inside = ngrams(train, n)
            before = _before(train, n)
            self.whole.append(count(numbers[inside]))
            self.context.append(count(before[inside]))
            _, first = numpy.unique(numbers[inside], return_index=True)
            self.different.append(count(before[inside][first]))

    def log_prob(self, stored: Tensor) -> tuple[numpy.ndarray, numpy.ndarray]:
        """log p of each token given those before it, ``[N, L]`` in nats, and which are of the text.

        The first end is of the text, what is after it is not.
        """
        probability = numpy.full(stored.shape, 1 / self.vocabulary)
        for n in range(1, min(self.order, stored.shape[1]) + 1):
            probability[:, n - 1 :] = self.blend(n, *self.look(stored, n), probability[:, n - 1 :])
        return numpy.log(probability), ngrams(stored, 1)[1]

    def look(self, stored: Tensor, n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Numbers of n-grams and of their contexts, ``[N, L - n + 1]`` each."""
        return ngrams(stored, n)[0], _before(stored, n)

    def blend(
        self, n: int, numbers: numpy.ndarray, before: numpy.ndarray, shorter: numpy.ndarray
    ) -> numpy.ndarray:
        """p of n-grams' last tokens, from their numbers and their contexts', and p from one token less."""
        seen = self.whole[n - 1].of(numbers) / self.overlap
        total = self.context[n - 1].of(before) / self.overlap
        kinds = self.different[n - 1].of(before)
        return numpy.where(total > 0, (seen + kinds * shorter) / numpy.maximum(total + kinds, 1e-9), shorter)


def _before(stored: Tensor, n: int) -> numpy.ndarray:
    """Numbers of the first n - 1 tokens of each n-gram."""
    columns = stored.shape[1] - n + 1
    if n == 1:
        return numpy.zeros((len(stored), columns), dtype=numpy.uint64)
    return ngrams(stored, n - 1)[0][:, :columns]


def _overlap(train: Tensor) -> float:
    """How often a text of sixteen tokens, or half a sample if that is less, occurs on average."""
    numbers, inside = ngrams(train, max(1, min(16, train.shape[1] // 2)))
    flat = numbers[inside]
    return max(1.0, len(flat) / max(1, len(numpy.unique(flat))))
