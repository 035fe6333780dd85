"""Text out of files, and what is said about files that are none."""

from pathlib import Path

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.folder import find

SUFFIXES = {".txt", ".text", ".md"}
_BOM = "\ufeff"


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


def read_text(path: Path, limit: int) -> str:
    """The content of a UTF-8 file, without a byte order mark, every line ended by ``\\n``.

    Args:
        path: the file.
        limit: most bytes to read into memory.

    Raises:
        DataError: if it cannot be read, is empty, larger than ``limit``, not UTF-8, or has NUL bytes.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            found = f"{size} bytes, data.limit is {limit}"
            raise DataError("DATA-SIZE", f"{path}: {found}; raise it if there is memory, or cut the file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError("DATA-MISSING", f"{path}: {error.strerror}; set data.path") from error
    if not content.strip():
        raise DataError("DATA-EMPTY", f"{path}: empty; give a file with text")
    if b"\0" in content:
        where = f"NUL at byte {content.index(0)}"
        raise DataError("DATA-TEXT", f"{path}: {where}; this is no text, or not UTF-8: convert it")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 at byte {error.start}; convert it, e.g. with iconv -t utf-8"
        raise DataError("DATA-TEXT", message) from error
    return text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
