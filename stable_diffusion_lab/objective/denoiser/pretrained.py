"""A denoiser out of a file."""

from pathlib import Path
from typing import Any

from stable_diffusion_lab.file import tensor_file
from stable_diffusion_lab.objective.denoiser.base import Denoiser


def load_frozen(denoiser: Denoiser, path: Path, name: str) -> None:
    """Put the weights of a file into a denoiser, which then no longer learns.

    Args:
        denoiser: of the same kind and sizes as the one in the file.
        path: what ``torch.save(denoiser.state_dict(), path)`` wrote, or a checkpoint of a run whose objective
            had a denoiser of that name.
        name: e.g. ``"data_denoiser"``.

    Raises:
        CheckpointError: if the file is missing or damaged, or holds something else.
        RefusedError: if it holds more than tensors and plain values.
    """
    tensor_file.fit(denoiser, _within(tensor_file.read(path), f"{name}."), path, f"this {name}")
    denoiser.requires_grad_(False)


def _within(content: Any, prefix: str) -> Any:
    """The part of a checkpoint that belongs to the denoiser; all of it if there are no such names."""
    if not isinstance(content, dict):
        return content
    weights: dict[Any, Any] = content.get("state_dict", content)
    part = {str(key).rpartition(prefix)[2]: weight for key, weight in weights.items() if prefix in str(key)}
    return part or weights
