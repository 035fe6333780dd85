"""Pieces of words, learnt by byte-pair encoding."""

from collections.abc import Iterable
from typing import Any

import numpy

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.extra import extra
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class BPE(Tokenizer):
    """Byte-level byte-pair encoding (Sennrich et al. 2016) by the ``tokenizers`` library.

    Args:
        size: number of tokens: the end, the unknown token (which never occurs), 256 bytes, and merges.
        state: the library's JSON; ``None`` before anything is learnt.

    Raises:
        ConfigError: if ``size`` has no room for a merge, or the library is not there.
    """

    def __init__(self, size: PositiveInt = 1024, state: str | None = None) -> None:
        super().__init__(size)
        if size <= 256 + self.reserved:
            raise ConfigError("CFG-VALUE", f"tokenizer.size: {size}; wants more than {256 + self.reserved}")
        self._library = extra("tokenizers", "text", "tokenizer: bpe")
        self._model: Any = None
        if state is not None:
            self.recall(state)

    def learn(self, texts: Iterable[str]) -> None:
        lib = self._library
        model = lib.Tokenizer(lib.models.BPE())
        model.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = lib.decoders.ByteLevel()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=self.size,
            special_tokens=["<end>", "<unknown>"],  # 0 and 1
            initial_alphabet=lib.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        self._use(model)

    def recall(self, state: str) -> None:
        self._use(self._library.Tokenizer.from_str(state))

    def _use(self, model: Any) -> None:
        model.encode_special_tokens = True  # "<end>" in a text is five letters
        self._model = model

    def encode(self, text: str) -> numpy.ndarray:
        return numpy.array(self._model.encode(text).ids, dtype=numpy.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        return self._model.decode([int(token) for token in tokens])

    def pieces(self) -> list[str]:
        return [self.decode([token]) if token >= self.reserved else "" for token in range(self.size)]

    def state(self) -> str | None:
        if self._model is None:
            return None
        return self._model.to_str().replace("$", "\\u0024")  # nothing to interpolate in a config
