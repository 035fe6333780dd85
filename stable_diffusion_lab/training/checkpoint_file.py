"""Reading and writing checkpoint files without trusting them."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from stable_diffusion_lab.error import CheckpointError
from stable_diffusion_lab.file import tensor_file
from stable_diffusion_lab.file.atomic import write_atomically


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
    checkpoint = tensor_file.read(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError("CKPT-KIND", f"{path}: holds no training state; use a file of checkpoints/")
    return checkpoint
