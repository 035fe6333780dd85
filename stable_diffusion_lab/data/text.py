"""Any text in files."""

import hashlib
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
from stable_diffusion_lab.file.cache import cache, keep
from stable_diffusion_lab.modality import text as modality
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer

SPLITS = ("train", "validation", "test")
LARGE = 10**8  # bytes that take long enough to say so


class Source(NamedTuple):
    """A file, its path inside the folder, and its class, if there are classes."""

    path: Path
    name: str
    label: int | None


class Text(Data):
    """A UTF-8 file, or the text files below a folder, as samples of L tokens.

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
        classes: number of folders right below ``path``, where these are classes, in the order of their
            names; 0 if not.

    Raises:
        DataError: if files are missing, empty or no text, a split is too short for a sample, or
            there are not so many classes.
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
        sources = _sources(Path(path), classes)
        self.modality = modality.Text(tokenizer)
        self.overlap = cut.overlap(length)
        folder = tokenised(sources, cut, tokenizer, length)
        splits = {}
        for split in SPLITS:
            files = token_file.part(folder, split)
            rows, labels = token_file.samples(files, _dtype(self.modality), length)
            if len(rows) == 0:
                found = f"{files.tokens.stat().st_size // rows.dtype.itemsize} tokens in the {split} split"
                message = f"{path}: {found}, too few for one sample of {length} tokens"
                raise DataError(
                    "DATA-SHORT", f"{message}; give more text, choose another cut, or lower data.length"
                )
            everything = Split(rows, labels)
            splits[split] = everything if split == "train" else Split(*everything.some(judged))
        super().__init__(name, shape, splits["train"], splits["validation"], splits["test"], classes=classes)


def tokenised(sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> Path:
    """The folder in the cache with the tokens of all splits, made if need be; teaches the tokenizer.

    Where several processes want the same one, the vocabulary of all is that of the one that made it.
    """
    folder = cache() / f"text-{_key(sources, cut, tokenizer, length)}"

    def fill(part: Path) -> None:
        size = sum(source.path.stat().st_size for source in sources)
        if size > LARGE:
            print(f"taking {size / 1e9:.1f} GB of text apart into tokens, once; kept in {folder}")
        write(part, sources, cut, tokenizer, length)

    def recall(folder: Path) -> bool:
        """Teach the tokenizer what it learnt for the tokens in a folder; false if they are not all there."""
        index = token_file.sealed(folder)
        if index is not None and index["facts"] is not None:
            tokenizer.recall(index["facts"])
        return index is not None

    keep(folder, recall, fill)
    return folder


def write(folder: Path, sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> None:
    """Learn the vocabulary, and put the tokens of all splits into a folder."""
    training = (it for _, it in passages(sources, cut) if it.split == "train")
    tokenizer.learn(piece for passage in training for piece in passage.text)
    dtype = _dtype(modality.Text(tokenizer))
    cutters = {split: cut.cutter(tokenizer, length, training=split == "train") for split in SPLITS}
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(token_file.Writer(token_file.part(folder, split), dtype))
            for split in SPLITS
        }
        for label, (split, text) in passages(sources, cut):
            writers[split].add(cutters[split](map(tokenizer.encode, text)), label)
    token_file.seal(folder, tokenizer.state())


def passages(sources: list[Source], cut: Cut) -> Iterator[tuple[int | None, Passage]]:
    """Those of all files, in order, with their classes."""
    for path, name, label in sources:
        yield from ((label, passage) for passage in cut.passages(path, name))


def _sources(path: Path, classes: int) -> list[Source]:
    """The files, with their classes if there are to be some."""
    home = path if path.is_dir() else path.parent
    files = {file: file.relative_to(home) for file in text_file.text_files(path)}
    if classes == 0:
        return [Source(file, name.as_posix(), None) for file, name in files.items()]
    for file, name in files.items():
        if len(name.parts) == 1:
            message = f"{file}: in no folder of a class; move it into one, or set data.classes=0"
            raise DataError("DATA-LABELS", message)
    folders = sorted({name.parts[0] for name in files.values()})
    if len(folders) != classes:
        found = f"{len(folders)} folders with text, each a class, data.classes={classes}"
        raise DataError("DATA-LABELS", f"{path}: {found}; set data.classes={len(folders)}")
    return [Source(file, name.as_posix(), folders.index(name.parts[0])) for file, name in files.items()]


def _dtype(text: modality.Text) -> numpy.dtype[numpy.generic]:
    return torch.empty(0, dtype=text.dtype).numpy().dtype


def _key(sources: list[Source], cut: Cut, tokenizer: Tokenizer, length: int) -> str:
    """Sixteen hex digits that change with whatever tokens depend on."""
    package = Path(text_file.__file__).parent
    makers = [*package.glob("text*.py"), *package.glob("cut/*.py")]
    makers += [package / "token_file.py", package / "folder.py"]
    makers += (package.parent / "modality" / "tokenizer").glob("*.py")
    makers += [package.parent / "modality" / "text.py", package.parent / "layer" / "ending.py"]
    found = hashlib.sha256(f"{type(cut)} {vars(cut)} {tokenizer.node()} {length}".encode())
    for maker in sorted(makers):
        found.update(maker.read_bytes())
    for source in sources:
        found.update(f"\n{source.name}\n{source.label}\n".encode(errors="surrogateescape"))
        found.update(text_file.digest(source.path))
    return found.hexdigest()[:16]
