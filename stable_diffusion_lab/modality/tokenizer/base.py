"""Between text and the numbers that networks see."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy


class Tokenizer(ABC):
    """A vocabulary, and how text is taken apart into its tokens.

    Token 0 ends a text and fills whatever is after its end (``layer.ending.END``); token 1 stands for what is
    not in the vocabulary.

    Args:
        size: number of tokens V, the two above among them.

    Attributes:
        reserved: how many tokens stand for no text.
    """

    UNKNOWN: ClassVar[int] = 1
    reserved: ClassVar[int] = 2

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def learn(self, texts: Iterable[str]) -> None:
        """Find the vocabulary that suits these texts best."""

    @abstractmethod
    def recall(self, state: str) -> None:
        """Know again what ``state`` said."""

    @abstractmethod
    def encode(self, text: str) -> numpy.ndarray:
        """Tokens ``[n]`` int64 of a text, without an end."""

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, of which none is an end."""

    @abstractmethod
    def pieces(self) -> list[str]:
        """What each token stands for, ``V`` texts; empty for those that stand for none."""

    @abstractmethod
    def state(self) -> str | None:
        """What has been learnt, for the constructor; ``None`` where nothing is."""

    def node(self) -> dict[str, Any]:
        """What builds this tokenizer again, with what it has learnt."""
        target = f"{type(self).__module__}.{type(self).__qualname__}"
        return {"_target_": target, "size": self.size, "state": self.state()}
