"""Reading weights from a file without trusting it."""

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import CheckpointError, RefusedError


def load_weights(module: nn.Module, path: Path, key: str) -> None:
    """Give a module the weights in a file; all of its own, and no others.

    Args:
        module: what is to have them.
        path: what ``torch.save(module.state_dict(), path)`` wrote.
        key: the config's name for the module, for messages.

    Raises:
        CheckpointError: if the file is missing or damaged, or holds something else.
        RefusedError: if it holds more than tensors and plain values.
    """
    weights, own = read_weights(path), module.state_dict()
    odd = [name for name in {**own, **weights} if name not in own or name not in weights]
    odd += [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if odd:
        first = ", ".join(map(str, odd[:3]))
        raise CheckpointError("CKPT-FIT", f"{path}: {len(odd)} tensors do not fit {key}, such as {first}")
    module.load_state_dict(weights)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict on the CPU; nothing in the file is run.

    Raises:
        CheckpointError: if the file is missing, damaged or of another kind.
        RefusedError: if it holds more than tensors and plain values.
    """
    if not path.is_file():
        raise CheckpointError("CKPT-NONE", f"{path}: no such file; give one that torch.save wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # one flipped bit would load silently
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError("SEC-PICKLE", f"{path}: holds more than tensors; not loaded") from error
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError("CKPT-KIND", f"{path}: cut off, or not written by torch.save") from error
    if damaged:
        raise CheckpointError("CKPT-HASH", f"{path}: {damaged} is damaged; use another copy")
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError("CKPT-KIND", f"{path}: not tensors by name; save a state_dict")
    return weights
