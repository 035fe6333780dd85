"""What is copied from the training text."""

from typing import ClassVar

import numpy
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.measure.base import TextMeasure
from stable_diffusion_lab.measure.hashing import ngrams


class Copying(TextMeasure):
    """Share of sequences of ``n`` tokens that the training text has (``copied``), and the longest such copy.

    Held-out text copies too, phrases that everybody uses: ``copied_real`` and ``copy_real`` are what it does,
    and more than that is memorisation. The floor, being training text, copies everything. Copies of
    more than half a window may be found in part only.

    Args:
        n: length of a sequence in tokens.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {
        "copied": False,
        "copied_real": False,
        "copy": False,
        "copy_real": False,
    }

    def __init__(self, n: PositiveInt = 20) -> None:
        self.n = n

    def learn(self, train: Tensor) -> None:
        self.train = train
        self.known: dict[int, numpy.ndarray] = {}

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        return {
            "copied": self.share(generated),
            "copied_real": self.share(real),
            "copy": float(self.longest(generated)),
            "copy_real": float(self.longest(real)),
        }

    def share(self, stored: Tensor) -> float:
        """Share of the sequences of texts ``[N, L]`` that the training text has."""
        if stored.shape[1] < self.n:
            return 0.0
        found = self.copied(stored, self.n)
        return float(found.mean()) if len(found) else 0.0

    def longest(self, stored: Tensor) -> int:
        """Length in tokens of the longest sequence that the training text has, by bisection."""
        low, high = 0, stored.shape[1]
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.copied(stored, middle).any() else (low, middle - 1)
        return low

    def copied(self, stored: Tensor, n: int) -> numpy.ndarray:
        """Whether the training text has it, for each sequence of ``n`` tokens of texts ``[N, L]``."""
        if n not in self.known:
            self.known[n] = numpy.unique(_flat(self.train, n))
        wanted, known = _flat(stored, n), self.known[n]
        if len(known) == 0:
            return numpy.zeros(len(wanted), dtype=bool)
        return known[numpy.searchsorted(known, wanted).clip(max=len(known) - 1)] == wanted


def _flat(stored: Tensor, n: int) -> numpy.ndarray:
    numbers, inside = ngrams(stored, n)
    return numbers[inside]
