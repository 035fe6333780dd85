"""What a configuration may build. Importing a module runs it, so this is decided before any import."""

import os
from collections.abc import Iterator
from typing import Any

from stable_diffusion_lab.error import RefusedError

PREFIXES = ("stable_diffusion_lab.",)
EXACT = frozenset(
    {
        "lightning.pytorch.loggers.csv_logs.CSVLogger",
        "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
        "lightning.pytorch.loggers.wandb.WandbLogger",
        "lightning.pytorch.trainer.trainer.Trainer",
    }
)


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with a ``_target_`` in a plain tree of dicts and lists, with its key path."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield path, tree
        for key, value in tree.items():
            yield from nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from nodes(value, f"{path}[{index}]")


def refuse(tree: Any, path: str = "") -> None:
    """Look at each ``_target_`` by its name; nothing is imported.

    Raises:
        RefusedError: if one is neither in the list nor below an allowed package.
    """
    for where, node in nodes(tree, path):
        if not _allowed(node["_target_"]):
            key = f"{where}._target_" if where else "_target_"
            raise _refused(f"{key}: {node['_target_']!r}")


def confirm(target: str, found: object) -> None:
    """Look at what a ``_target_`` turned out to be: an alias may lead out of an allowed package.

    Raises:
        RefusedError: if the object was defined elsewhere.
    """
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if not _allowed(home):
        raise _refused(f"_target_: {target!r}, which is {home},")


def _allowed(target: object) -> bool:
    return isinstance(target, str) and (target in EXACT or target.startswith((*PREFIXES, *_user_prefixes())))


def _user_prefixes() -> tuple[str, ...]:
    names = os.environ.get("SDLAB_ALLOW", "").split(",")
    return tuple(f"{name.strip().rstrip('.')}." for name in names if name.strip())


def _refused(what: str) -> RefusedError:
    return RefusedError(
        "SEC-TARGET",
        f"{what} is not an allowed component; to allow your own package, set SDLAB_ALLOW=package",
    )
