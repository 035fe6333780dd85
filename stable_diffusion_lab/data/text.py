"""Any text in files."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy
import torch

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data import text_file, token_file
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.cut.base import Cut, Passage
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.cache import cache, keep
from stable_diffusion_lab.modality import text as modality
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer

log = logging.getLogger(__name__)
SPLITS = ("train", "validation", "test")


class Source(NamedTuple):
    """A file, and its path inside the folder."""

    path: Path
    name: str


class Text(Data):
    """A UTF-8 file, or the text files below a folder, as samples of L tokens, without labels.

    Files may be larger than memory. They are read in pieces, once for the vocabulary, which is learnt from
    the training split alone, and once more for the tokens, which are kept in the cache, under a name that
    changes with the files, the settings and the source that makes them. From there batches take what they
    want; nothing else is loaded.

    Args:
        path: the file or folder.
        shape: ``(L, V)``.
        cut: how text becomes samples.
        tokenizer: how samples become tokens; it learns its vocabulary here.
        length: tokens of a sample L.
        judged: most samples of the validation and of the test split, evenly spaced: there is no use in more.
        name: short name for logs and folders.
        classes: none, for there are no labels: 0.

    Raises:
        DataError: if files are missing, empty or no text, or a split is too short for a sample.
        DiskError: if the cache cannot be written.
    """

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        cut: Cut,
        tokenizer: Tokenizer,
        length: PositiveInt = 64,
        judged: PositiveInt = 5000,
        name: str = "text",
        classes: NonNegativeInt = 0,
    ) -> None:
        root = Path(path)
        home = root if root.is_dir() else root.parent
        sources = [Source(file, file.relative_to(home).as_posix()) for file in text_file.text_files(root)]
        self.modality = modality.Text(tokenizer)
        self.overlap = cut.overlap(length)
        folder = tokenised(sources, cut, tokenizer, length)
        splits = {}
        for split in SPLITS:
            files = token_file.part(folder, split)
            rows = token_file.samples(files, _dtype(self.modality), length)
            if len(rows) == 0:
                found = f"{files.tokens.stat().st_size // rows.dtype.itemsize} tokens in the {split} split"
                message = f"{path}: {found}, too few for one sample of {length} tokens"
                raise DataError("DATA-SHORT", f"{message}; give more text, or lower data.length")
            every = slice(None, None, -(-len(rows) // judged))
            splits[split] = Split(rows if split == "train" else rows[every], None)
        super().__init__(name, shape, splits["train"], splits["validation"], splits["test"], classes=classes)


def tokenised(sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> Path:
    """The folder in the cache with the tokens of all splits, made if need be; teaches the tokenizer."""
    folder = cache() / f"text-{_key(sources, cut, tokenizer, length)}"
    index = token_file.sealed(folder)
    if index is None:
        log.info("taking text apart into tokens; kept in %s", folder)
        tokenizer.learn(piece for it in passages(sources, cut) if it.split == "train" for piece in it.text)
        keep(folder, lambda part: write(part, sources, cut, tokenizer, length))
    elif index["facts"] is not None:
        tokenizer.recall(index["facts"])
    return folder


def write(folder: Path, sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> None:
    """Put the tokens of all splits into a folder."""
    dtype = _dtype(modality.Text(tokenizer))
    cutters = {split: cut.cutter(tokenizer, length, training=split == "train") for split in SPLITS}
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(token_file.Writer(token_file.part(folder, split), dtype))
            for split in SPLITS
        }
        for split, text in passages(sources, cut):
            writers[split].add(cutters[split](map(tokenizer.encode, text)))
    token_file.seal(folder, tokenizer.state())


def passages(sources: list[Source], cut: Cut) -> Iterator[Passage]:
    """Those of all files, in order."""
    for source in sources:
        yield from cut.passages(source.path, source.name)


def _dtype(text: modality.Text) -> numpy.dtype[numpy.generic]:
    return torch.empty(0, dtype=text.dtype).numpy().dtype


def _key(sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> str:
    """Sixteen hex digits that change with whatever tokens depend on."""
    package = Path(text_file.__file__).parent
    makers = [*package.glob("text*.py"), *package.glob("cut/*.py"), package / "token_file.py"]
    makers += (package.parent / "modality" / "tokenizer").glob("*.py")
    found = hashlib.sha256(f"{type(cut)} {vars(cut)} {tokenizer.node()} {length}".encode())
    for maker in sorted(makers):
        found.update(maker.read_bytes())
    for source in sources:
        found.update(f"\n{source.name}\n".encode())
        found.update(text_file.digest(source.path))
    return found.hexdigest()[:16]
