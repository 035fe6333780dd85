"""Walking through folders of a user's files."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from stable_diffusion_lab.error import DataError


def find(
    folder: Path, suffixes: Collection[str], key: str = "data.path", but: Path | None = None
) -> Iterator[str]:
    """Paths, relative to the folder, of the files below it that end in one of ``suffixes``.

    Hidden files and folders are left out.

    Args:
        folder: where to look.
        suffixes: in lower case, with their dots.
        key: what to set if there is no such folder, for the message.
        but: a folder to be left out too, wherever it is.

    Raises:
        DataError: if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError("DATA-MISSING", f"{error.filename}: {error.strerror}; set {key}") from error

    def wanted(path: Path) -> bool:
        return not path.name.startswith(".") and (but is None or path.resolve() != but.resolve())

    for parent, folders, names in os.walk(folder, onerror=refuse):
        here = Path(parent)
        folders[:] = [name for name in folders if wanted(here / name)]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (here / name).relative_to(folder).as_posix()
