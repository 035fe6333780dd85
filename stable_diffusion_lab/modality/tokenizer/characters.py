"""A token for each of the most frequent characters."""

import json
from collections import Counter
from collections.abc import Iterable

import numpy

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer

_POINTS = 0x110000  # code points of Unicode


class Characters(Tokenizer):
    """Characters (Unicode code points), the most frequent first. Those beyond the vocabulary are unknown.

    Where there are fewer than there is room for, the last tokens stand for nothing.

    Args:
        size: number of tokens, with the end and the unknown character.
        state: the characters in their order, as JSON; ``None`` before anything is learnt.

    Raises:
        ConfigError: if there is no room for a single character.
    """

    def __init__(self, size: PositiveInt, state: str | None = None) -> None:
        super().__init__(size)
        if size <= self.reserved:
            raise ConfigError("CFG-VALUE", f"tokenizer.size: {size}; wants more than {self.reserved}")
        self._know([])
        if state is not None:
            self.recall(state)

    def learn(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        ranked = sorted(counts, key=lambda character: (-counts[character], character))
        self._know(ranked[: self.size - self.reserved])

    def recall(self, state: str) -> None:
        self._know(json.loads(state))

    def _know(self, characters: Iterable[str]) -> None:
        self.characters = list(characters)
        self._table = numpy.full(_POINTS, self.UNKNOWN, dtype=numpy.int32)
        for number, character in enumerate(self.characters):
            self._table[ord(character)] = number + self.reserved

    def encode(self, text: str) -> numpy.ndarray:
        points = numpy.frombuffer(text.encode("utf-32-le"), dtype=numpy.uint32)
        return self._table[points].astype(numpy.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        pieces = self.pieces()
        return "".join(pieces[token] for token in tokens)

    def pieces(self) -> list[str]:
        """The unknown character shows as U+FFFD, the replacement character."""
        spare = self.size - self.reserved - len(self.characters)
        return ["", "\ufffd", *self.characters, *[""] * spare]

    def state(self) -> str:
        return json.dumps(self.characters).replace("$", "\\u0024")  # nothing to interpolate in a config
