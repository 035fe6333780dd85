"""Reading and writing checkpoint files without trusting them."""

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from stable_diffusion_lab.error import CheckpointError, RefusedError
from stable_diffusion_lab.training.atomic import write_atomically

_SIGNS = {b"version https://git-lfs": "a git-lfs pointer; run git lfs pull", b"<": "a web page, not a file"}


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints whole or not at all, and reads only what is undamaged and free of code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; see ``write_atomically``."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; see ``read``. ``weights_only`` is always on, whatever is asked for."""
        return read(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU.

    Raises:
        CheckpointError: if the file is missing, cut, damaged or something else than a checkpoint.
        RefusedError: if it holds more than tensors and plain values.
    """
    verify(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        name = found[1] if found else "code"
        raise RefusedError("SEC-PICKLE", f"{path}: names {name}, which could run code; not loaded") from error
    except (RuntimeError, KeyError, EOFError, ValueError) as error:
        raise CheckpointError("CKPT-KIND", f"{path}: a zip archive, but not a checkpoint") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError("CKPT-KIND", f"{path}: holds no training state; use a file of checkpoints/")
    return checkpoint


def verify(path: Path) -> None:
    """Read a checkpoint once and compare its checksums: one flipped bit would load silently.

    Raises:
        CheckpointError: if the file is missing, cut, damaged or of another kind.
    """
    if not path.is_file():
        raise CheckpointError("CKPT-NONE", f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise _explain(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError("CKPT-HASH", f"{path}: damaged ({error}); use an older checkpoint") from error
    if damaged:
        raise CheckpointError("CKPT-HASH", f"{path}: {damaged} is damaged; use an older checkpoint")
    if packed:
        raise CheckpointError("CKPT-KIND", f"{path}: compressed, which PyTorch never writes; not loaded")


def _explain(path: Path) -> CheckpointError:
    with open(path, "rb") as file:
        head = file.read(64)
    size = path.stat().st_size
    if not head or head.startswith(b"PK\3\4"):
        return CheckpointError("CKPT-TRUNCATED", f"{path}: cut off after {size} bytes; use an older one")
    for sign, meaning in _SIGNS.items():
        if head.lstrip().startswith(sign):
            return CheckpointError("CKPT-KIND", f"{path}: {meaning}")
    return CheckpointError("CKPT-KIND", f"{path}: not a checkpoint")
