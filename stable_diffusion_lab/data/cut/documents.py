"""A sample for each file."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from stable_diffusion_lab.data.cut.base import Cut, Parts, padded, split_of
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Documents(Cut):
    """Whole files, 80/10/10 by the hash of their names. Of a longer one the first L tokens are taken."""

    def share(self, texts: Mapping[str, str]) -> Parts:
        parts: Parts = {"train": [], "validation": [], "test": []}
        for name, text in texts.items():
            parts[split_of(name)].append(text)
        return parts

    def rows(self, stretches: Sequence[str], tokenizer: Tokenizer, length: int, training: bool) -> Tensor:
        return padded([tokenizer.encode(text) for text in stretches], length)
