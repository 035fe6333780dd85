"""A token for each byte: nothing is unknown, and nothing has to be learnt."""

from collections.abc import Iterable

import numpy

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Bytes(Tokenizer):
    """The bytes of a text in UTF-8. Bytes that are no UTF-8 show as U+FFFD.

    Args:
        size: 258, the bytes with the end and the unknown token (which never occurs).
        state: none.

    Raises:
        ConfigError: if ``size`` is another.
    """

    def __init__(self, size: PositiveInt = 258, state: None = None) -> None:
        super().__init__(size)
        if size != 256 + self.reserved:
            wants = f"bytes, the end and the unknown token are {256 + self.reserved}"
            raise ConfigError("CFG-VALUE", f"tokenizer.size: {size}; {wants}")

    def learn(self, texts: Iterable[str]) -> None:
        """Every vocabulary of bytes is the same."""

    def recall(self, state: str) -> None:
        """There is nothing to be known."""

    def encode(self, text: str) -> numpy.ndarray:
        return numpy.frombuffer(text.encode(), dtype=numpy.uint8).astype(numpy.int64) + self.reserved

    def decode(self, tokens: Iterable[int]) -> str:
        known = (token - self.reserved for token in tokens if token >= self.reserved)
        return bytes(known).decode("utf-8", errors="replace")

    def pieces(self) -> list[str]:
        return ["", "", *(bytes([value]).decode("utf-8", errors="replace") for value in range(256))]

    def state(self) -> None:
        return None
