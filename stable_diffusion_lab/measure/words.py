"""Whether words are words."""

import re
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from stable_diffusion_lab.measure.base import TextMeasure

WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")


class Words(TextMeasure):
    """Share of words that the training text has (``words``), and of different ones among all (``distinct``).

    Letter for letter. The last word of a sample is left out where nothing is after it, for it may be cut off.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"words": True, "distinct1": True, "distinct2": True}

    def learn(self, train: Tensor) -> None:
        self.known = {word for text in self.modality.texts(train) for word in whole_words(text)}

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        texts = [whole_words(text) for text in self.modality.texts(generated)]
        words = [word for text in texts for word in text]
        pairs = [pair for text in texts for pair in pairwise(text)]
        return {
            "words": sum(word in self.known for word in words) / max(1, len(words)),
            "distinct1": len(set(words)) / max(1, len(words)),
            "distinct2": len(set(pairs)) / max(1, len(pairs)),
        }


def whole_words(text: str) -> list[str]:
    """Words of a text, but for one at its end, which may be cut off."""
    return [word for _, word in placed(text)]


def placed(text: str) -> list[tuple[int, str]]:
    """The same, and before each where it begins."""
    return [(found.start(), found[0]) for found in WORD.finditer(text) if found.end() < len(text)]
