"""A sample for each line."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.data.cut.base import Cut, Cutter, Passage, padded, split_of
from stable_diffusion_lab.data.text_file import lines
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Lines(Cut):
    """Lines that are not blank, 80/10/10 by the hash of what they say: equal lines are in the same split.

    Of a line with more than L tokens the first L are taken.

    Args:
        longest: most characters of a line; a file with longer ones is not made of lines.
    """

    def __init__(self, longest: PositiveInt = 100_000) -> None:
        self.longest = longest

    def passages(self, path: Path, name: str) -> Iterator[Passage]:
        for line in filter(None, map(str.strip, lines(path, self.longest))):
            yield Passage(split_of(line), iter([line]))

    def cutter(self, tokenizer: Tokenizer, length: int, training: bool) -> Cutter:
        return partial(padded, length=length)
