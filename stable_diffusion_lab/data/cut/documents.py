"""A sample for each file."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stable_diffusion_lab.data.cut.base import Cut, Cutter, Passage, padded, split_of
from stable_diffusion_lab.data.text_file import whole, words
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Documents(Cut):
    """Whole files, 80/10/10 by the hash of their names. Of a longer one the first L tokens are taken."""

    def passages(self, path: Path, name: str) -> Iterator[Passage]:
        yield Passage(split_of(name), words(whole(path)))

    def cutter(self, tokenizer: Tokenizer, length: int, training: bool) -> Cutter:
        return partial(padded, length=length)
