"""What is kept between runs, for it belongs to the data and not to a run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from stable_diffusion_lab.error import DiskError


def cache() -> Path:
    """The folder for it."""
    return Path(os.environ.get("SDLAB_CACHE", "~/.cache/stable-diffusion-lab")).expanduser()


def keep(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there as a whole or not at all, in the place of any other.

    Where several processes make the same one at once, the first stays.

    Args:
        folder: to be made.
        fill: writes all that belongs into the folder that it is given.

    Raises:
        DiskError: if it cannot be written.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            message = f"{folder}: {error.strerror}; set SDLAB_CACHE to a folder that can be written"
            raise DiskError("DISK-CACHE", message) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
