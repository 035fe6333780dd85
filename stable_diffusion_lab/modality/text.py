"""Text: token numbers in store, probabilities of tokens for networks, lines to read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.ending import END, alive
from stable_diffusion_lab.layer.label import one_hot
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer

_MARGIN = 4  # pixels around a picture's lines


class Text(Modality):
    """``[N, L]`` token numbers in store; ``[N, L, V]`` float32 for networks, each position a distribution.

    Real text is one-hot; what a network makes may be anything between, and is stored as its most probable
    tokens. After the end of a text every token is the end (``layer.ending.END``).

    Args:
        tokenizer: knows its vocabulary.
    """

    noun = "texts"
    entry = "token"
    crowd = 20
    ending = suffix = ".txt"
    damageable = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def node(self) -> dict[str, Any]:
        return {**super().node(), "tokenizer": self.tokenizer.node()}

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(L,)`` of samples ``(L, V)``."""
        return shape[:1]

    def to_sample(self, stored: Tensor) -> Tensor:
        return one_hot(stored.long(), self.tokenizer.size)

    def to_stored(self, sample: Tensor) -> Tensor:
        """Most probable tokens, nothing but ends after the first end."""
        tokens = sample.argmax(dim=-1)
        return tokens.masked_fill(~alive(tokens == END), END).to(self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds every token."""
        sizes = {torch.uint8: 2**8, torch.int16: 2**15, torch.int32: 2**31}
        return next(dtype for dtype, most in sizes.items() if self.tokenizer.size <= most)

    def texts(self, stored: Tensor) -> list[str]:
        """What stored samples ``[N, L]`` say, each up to its end."""
        lengths = (stored != END).long().cumprod(dim=1).sum(dim=1).tolist()
        rows = stored.tolist()
        return [self.tokenizer.decode(row[:length]) for row, length in zip(rows, lengths, strict=True)]

    def units(self, stored: Tensor) -> dict[str, Tensor]:
        """Characters, whatever the tokens are; the end of a text is none."""
        return {"character": torch.tensor([len(text) for text in self.texts(stored)])}

    def prompt(self, text: str, length: int) -> Observation:
        """The first of ``length`` tokens are known, of one text.

        Raises:
            DataError: if it is empty, fills the whole sample of ``length`` tokens, or has characters that
                the vocabulary lacks.
        """
        tokens = torch.from_numpy(self.tokenizer.encode(text))
        if (tokens == Tokenizer.UNKNOWN).any():
            lacking = "".join(sorted({it for it in text if Tokenizer.UNKNOWN in self.tokenizer.encode(it)}))
            message = f"prompt: {lacking!r} not among the characters that the run learnt; leave it out"
            raise DataError("DATA-PROMPT", message)
        if not 0 < len(tokens) < length:
            message = f"prompt: {len(tokens)} tokens; a sample of the run has {length}, at least one to write"
            raise DataError("DATA-PROMPT", message)
        known = (torch.arange(length) < len(tokens)).float()[None, :, None]
        beginning = self.to_sample(functional.pad(tokens, (0, length - len(tokens)))[None])
        return Observation(beginning * known, known, known)

    def array(self, stored: Tensor) -> numpy.ndarray:
        """N x L token numbers."""
        return stored.numpy()

    def lines(self, stored: Tensor) -> list[str]:
        return [escape(text) for text in self.texts(stored)]

    def exhibit(self, stages: Mapping[str, Tensor]) -> bytes:
        """Draft over refinement, pair by pair, a blank line between pairs."""
        rows = zip(
            *([f"{name:9}{line}\n" for line in self.lines(it)] for name, it in stages.items()), strict=True
        )
        return "\n".join(map("".join, rows)).encode()

    def panel(self, stored: Tensor) -> Image.Image:
        """A line for each sample, black on white."""
        font = ImageFont.load_default()
        page = "\n".join(self.lines(stored))
        box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((_MARGIN, _MARGIN), page, font=font)
        picture = Image.new("L", (int(box[2]) + _MARGIN, int(box[3]) + _MARGIN), "white")
        ImageDraw.Draw(picture).multiline_text((_MARGIN, _MARGIN), page, fill="black", font=font)
        return picture

    def files(self, stored: Tensor) -> Iterable[bytes]:
        return (text.encode() for text in self.texts(stored))


def escape(text: str) -> str:
    """One line of it: backslashes and what ends a line are written as ``\\\\``, ``\\n``, ``\\r``."""
    return "".join(_ESCAPES.get(character, character) for character in text)


# Whatever str.splitlines takes for the end of a line.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\v": "\\v", "\f": "\\f"} | {
    character: character.encode("unicode_escape").decode() for character in "\x1c\x1d\x1e\x85\u2028\u2029"
}
