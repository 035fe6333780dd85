"""Text out of files of any size, and what is said about files that are none."""

import codecs
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.folder import find

SUFFIXES = {".txt", ".text", ".md"}
CHUNK = 2**18  # bytes that are read at once
LONGEST = 2**20  # characters of a word that is read as a whole
_AHEAD = 2**16  # bytes in which the beginning of a word is looked for
_BOM = "\ufeff"
_CONTINUATION = bytes(range(0x80, 0xC0))  # of a character begun before
_BLANK = re.compile(rb"\s+")
_END_OF_WORD = re.compile(r"\S(?=[ \n])")


class Stretch(NamedTuple):
    """The bytes of a file from ``begin`` to before ``end``."""

    path: Path
    begin: int
    end: int


def text_files(path: Path) -> list[Path]:
    """The file itself, or the text files below a folder in the order of their names, hidden ones left out.

    Raises:
        DataError: if it is missing or there are none.
    """
    if path.is_file():
        return [path]
    found = sorted(path / file for file in find(path, SUFFIXES))
    if not found:
        raise DataError("DATA-EMPTY", f"{path}: no text files; they end in {' '.join(sorted(SUFFIXES))}")
    return found


def whole(path: Path) -> Stretch:
    """All of a file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return Stretch(path, 0, path.stat().st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def digest(path: Path) -> bytes:
    """SHA-256 of what a file says.

    Raises:
        DataError: if it cannot be read, is empty or has NUL bytes.
    """
    found, blank = hashlib.sha256(), True
    for _, content in _contents(whole(path)):
        found.update(content)
        blank = blank and not content.strip()
    if blank:
        raise DataError("DATA-EMPTY", f"{path}: empty; give a file with text")
    return found.digest()


def boundary(path: Path, place: int) -> int:
    """The first byte at or after a place with which a word begins; where there is none near, a character."""
    if place == 0:
        return 0
    start = place - 1
    try:
        with path.open("rb") as file:
            file.seek(start)
            ahead = file.read(_AHEAD)
    except OSError as error:
        raise _unreadable(path, error) from error
    found = _BLANK.search(ahead)
    if found:
        return start + found.end()
    rest = ahead[place - start :]
    return place + len(rest) - len(rest.lstrip(_CONTINUATION))


def words(stretch: Stretch) -> Iterator[str]:
    """A text in pieces (see ``pieces``) that part no word, unless it has more than a million characters.

    Tokenizers that look at words see in them what they would see in the whole.
    """
    rest = ""
    for text in pieces(stretch):
        rest += text
        end = _last_end(rest) or (len(rest) if len(rest) >= LONGEST else 0)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def lines(path: Path, longest: int) -> Iterator[str]:
    """Lines of a file (see ``pieces``), without their ends.

    Raises:
        DataError: if one has more than ``longest`` characters, however many: the rest of it is not read.
    """
    rest, number = "", 1
    for text in pieces(whole(path)):
        *found, rest = (rest + text).split("\n")
        long = [index for index, line in enumerate([*found, rest]) if len(line) > longest]
        if long:
            message = f"{path}: line {number + long[0]} has more than {longest} characters (cut.longest)"
            raise DataError("DATA-LINE", f"{message}; say cut=windows for running text")
        yield from found
        number += len(found)
    yield rest


def pieces(stretch: Stretch) -> Iterator[str]:
    """A UTF-8 text a piece at a time, without a byte order mark, every line ended by ``\\n``.

    Raises:
        DataError: if it cannot be read, is not UTF-8, or has NUL bytes, saying at which byte of the file.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    begun = stretch.begin > 0
    for place, content in _contents(stretch):
        before = place - len(decoder.getstate()[0])  # where a character begins that goes on here
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            where = f"{stretch.path}: not UTF-8 at byte {before + error.start}"
            raise DataError("DATA-TEXT", f"{where}; convert it, e.g. with iconv -t utf-8") from error
        if text and not begun:
            text, begun = text.removeprefix(_BOM), True
        yield ends.decode(text, final=not content)


def _contents(stretch: Stretch) -> Iterator[tuple[int, bytes]]:
    """Bytes of a stretch, and the place of the first in the file; the last time there are none."""
    path, place, end = stretch
    try:
        with path.open("rb") as file:
            file.seek(place)
            content = None
            while content != b"":
                content = file.read(min(CHUNK, end - place))
                if b"\0" in content:
                    where = f"NUL at byte {place + content.index(0)}"
                    message = f"{path}: {where}; this is no text, or not UTF-8: convert it"
                    raise DataError("DATA-TEXT", message)
                yield place, content
                place += len(content)
    except OSError as error:
        raise _unreadable(path, error) from error


def _last_end(text: str) -> int:
    """How many characters of a text are up to the end of the last word that is known to end; 0 if none is."""
    for size in (1000, len(text)):
        ends = [match.end() for match in _END_OF_WORD.finditer(text, max(0, len(text) - size))]
        if ends:
            return ends[-1]
    return 0


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError("DATA-MISSING", f"{path}: {error.strerror}; set data.path")
