"""What is kept between runs, for it belongs to the data and not to a run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from stable_diffusion_lab.error import DiskError


def cache() -> Path:
    """The folder for it."""
    return Path(os.environ.get("SDLAB_CACHE", "~/.cache/stable-diffusion-lab")).expanduser()


def keep(folder: Path, whole: Callable[[Path], bool], fill: Callable[[Path], None]) -> None:
    """Make a folder that is there as a whole or not at all, in the place of one that is not.

    Of several processes that want the same one, one makes it and the others wait.

    Args:
        folder: to be made.
        whole: whether a folder is as it is to be; then it is left alone, and may be loaded at once.
        fill: writes all that belongs into the folder that it is given.

    Raises:
        DiskError: if it cannot be written.
    """
    if whole(folder):  # so it stays; where nothing may be written there is nothing to lock
        return
    part = folder.with_name(f".{folder.name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if whole(folder):
                return
            for old in (part, folder):  # of a process that was killed; damaged
                if old.exists():
                    shutil.rmtree(old)
            try:
                part.mkdir()
                fill(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        message = f"{folder}: {error.strerror}; set SDLAB_CACHE to a folder that can be written"
        raise DiskError("DISK-CACHE", message) from error
