"""Reading what ``torch.save`` wrote, without trusting it."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import CheckpointError, RefusedError

_SIGNS = {b"version https://git-lfs": "a git-lfs pointer; run git lfs pull", b"<": "a web page, not a file"}
_REMEDY = "use another copy or an older checkpoint"


def read(path: Path) -> Any:
    """Load a file onto the CPU; nothing in it is run.

    Raises:
        CheckpointError: if the file is missing, cut, damaged or of another kind.
        RefusedError: if it holds more than tensors and plain values.
    """
    verify(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        name = found[1] if found else "code"
        raise RefusedError("SEC-PICKLE", f"{path}: names {name}, which could run code; not loaded") from error
    except (RuntimeError, KeyError, EOFError, ValueError) as error:
        message = f"{path}: a zip archive, but not written by torch.save"
        raise CheckpointError("CKPT-KIND", message) from error


def verify(path: Path) -> None:
    """Read a file once and compare its checksums: one flipped bit would load silently.

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
        raise CheckpointError("CKPT-HASH", f"{path}: damaged ({error}); {_REMEDY}") from error
    if damaged:
        raise CheckpointError("CKPT-HASH", f"{path}: {damaged} is damaged; {_REMEDY}")
    if packed:
        raise CheckpointError("CKPT-KIND", f"{path}: compressed, so not written by torch.save; not loaded")


def fit(module: nn.Module, weights: Any, path: Path, what: str) -> None:
    """Give a module exactly these weights: all of its own, and no others.

    Args:
        module: what is to have them.
        weights: what was read from a file: a state dict, if all is well.
        path: of the file, for messages.
        what: the weights have to fit, for messages.

    Raises:
        CheckpointError: names the first differences.
    """
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError("CKPT-KIND", f"{path}: not tensors by name; save a state_dict")
    own = module.state_dict()
    odd = [name for name in {**own, **weights} if name not in own or name not in weights]
    odd += [name for name in own if name in weights and own[name].shape != weights[name].shape]
    odd = odd or [name for name, weight in weights.items() if not weight.isfinite().all()]
    if odd:
        first = ", ".join(map(str, odd[:3]))
        raise CheckpointError("CKPT-FIT", f"{path}: {len(odd)} tensors do not fit {what}, such as {first}")
    module.load_state_dict(weights)


def _explain(path: Path) -> CheckpointError:
    with open(path, "rb") as file:
        head = file.read(64)
    size = path.stat().st_size
    if not head or head.startswith(b"PK\3\4"):
        return CheckpointError("CKPT-TRUNCATED", f"{path}: cut off after {size} bytes; {_REMEDY}")
    for sign, meaning in _SIGNS.items():
        if head.lstrip().startswith(sign):
            return CheckpointError("CKPT-KIND", f"{path}: {meaning}")
    return CheckpointError("CKPT-KIND", f"{path}: not a checkpoint, nor anything else of torch.save")
