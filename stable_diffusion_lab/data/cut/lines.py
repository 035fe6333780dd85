"""A sample for each line."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.data.cut.base import Cut, Parts, padded, split_of
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Lines(Cut):
    """Lines that are not blank, 80/10/10 by the hash of what they say: equal lines are in the same split.

    Of a line with more than L tokens the first L are taken.

    Args:
        longest: most characters of a line; a file with longer ones is not made of lines.
    """

    def __init__(self, longest: PositiveInt = 100_000) -> None:
        self.longest = longest

    def share(self, texts: Mapping[str, str]) -> Parts:
        parts: Parts = {"train": [], "validation": [], "test": []}
        for name, text in texts.items():
            lines = text.split("\n")
            worst = max(range(len(lines)), key=lambda i: len(lines[i]))
            if len(lines[worst]) > self.longest:
                found = f"line {worst + 1} has {len(lines[worst])} characters"
                message = f"{name}: {found}, cut.longest is {self.longest}; say cut=windows for running text"
                raise DataError("DATA-LINE", message)
            for line in filter(None, map(str.strip, lines)):
                parts[split_of(line)].append(line)
        return parts

    def rows(self, stretches: Sequence[str], tokenizer: Tokenizer, length: int, training: bool) -> Tensor:
        return padded([tokenizer.encode(line) for line in stretches], length)
