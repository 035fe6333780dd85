"""Any text in files."""

from pathlib import Path

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data import text_file
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.cut.base import Cut
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.modality import text as modality
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer


class Text(Data):
    """A UTF-8 file, or the text files below a folder, as samples of L tokens, without labels.

    The vocabulary is learnt from the training split alone.

    Args:
        path: the file or folder.
        shape: ``(L, V)``.
        cut: how text becomes samples.
        tokenizer: how samples become tokens; it learns its vocabulary here.
        length: tokens of a sample L.
        limit: most bytes of a file, for text is held in memory.
        name: short name for logs and folders.
        classes: none, for there are no labels: 0.

    Raises:
        DataError: if files are missing, empty, too large or no text, or a split is too short for a sample.
    """

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        cut: Cut,
        tokenizer: Tokenizer,
        length: PositiveInt = 64,
        limit: PositiveInt = 1_000_000_000,
        name: str = "text",
        classes: NonNegativeInt = 0,
    ) -> None:
        root = Path(path)
        home = root if root.is_dir() else root.parent
        texts = {
            file.relative_to(home).as_posix(): text_file.read_text(file, limit)
            for file in text_file.text_files(root)
        }
        parts = cut.share(texts)
        tokenizer.learn(parts["train"])
        self.modality = modality.Text(tokenizer)
        self.overlap = cut.overlap(length)
        splits = {}
        for part, stretches in parts.items():
            rows = cut.rows(stretches, tokenizer, length, training=part == "train") if stretches else None
            if rows is None or len(rows) == 0:
                found = f"{sum(map(len, stretches))} characters in the {part} split"
                message = f"{path}: {found}, too few for one sample of {length} tokens"
                raise DataError("DATA-SHORT", f"{message}; give more text, or lower data.length")
            splits[part] = Split(rows.to(self.modality.dtype), None)
        super().__init__(name, shape, splits["train"], splits["validation"], splits["test"], classes=classes)
