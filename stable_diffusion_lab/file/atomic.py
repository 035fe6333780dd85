"""Files that are either whole or absent."""

import contextlib
import errno
import os
from pathlib import Path

from stable_diffusion_lab.error import DiskError


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a part.

    The temporary file lies in the same folder: a rename is atomic only within one file system.

    Raises:
        DiskError: if the disk is full or the folder cannot be written; the old file is untouched.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise _explain(error, path, len(data)) from error


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left behind."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: the name lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: Path, size: int) -> DiskError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        need = f"{size / 1e6:.1f} MB needed"
        return DiskError("DISK-FULL", f"{path}: no space left, {need}; free some and go on with resume=")
    return DiskError("DISK-WRITE", f"{path}: cannot be written ({error.strerror}); check the folder")
