"""A denoiser out of a file."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stable_diffusion_lab.error import CheckpointError, RefusedError
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
    weights = _within(_read(path), f"{name}.")
    own = denoiser.state_dict()
    odd = [key for key in {**own, **weights} if key not in own or key not in weights]
    odd += [key for key in own if key in weights and not _same_shape(own[key], weights[key])]
    odd = odd or [key for key, weight in weights.items() if not weight.isfinite().all()]
    if odd:
        first = ", ".join(odd[:3])
        message = f"{path}: {len(odd)} tensors do not fit this {name}, such as {first}; set denoiser to match"
        raise CheckpointError("CKPT-FIT", message)
    denoiser.load_state_dict(weights)
    denoiser.requires_grad_(False)


def _within(content: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The part of a checkpoint that belongs to the denoiser; all of it if there are no such names."""
    weights: dict[str, Any] = content.get("state_dict", content)
    part = {key.rpartition(prefix)[2]: weight for key, weight in weights.items() if prefix in key}
    return part or weights


def _same_shape(own: Tensor, other: Any) -> bool:
    return isinstance(other, Tensor) and own.shape == other.shape


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError("CKPT-NONE", f"{path}: no such file; give a file of weights, or null")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # one flipped bit would load silently
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError("SEC-PICKLE", f"{path}: holds code beside its tensors; not loaded") from error
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError("CKPT-KIND", f"{path}: cut off, or not written by torch.save") from error
    if damaged:
        raise CheckpointError("CKPT-HASH", f"{path}: {damaged} is damaged; use another copy")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise CheckpointError("CKPT-KIND", f"{path}: holds no weights by name; save a state_dict")
    return content
