"""From a config node to the object it describes. The only place that instantiates anything."""

import pkgutil
from functools import partial
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from stable_diffusion_lab.command.allow import confirm, nodes, refuse
from stable_diffusion_lab.error import ConfigError


def build(node: Any, **extra: Any) -> Any:
    """Build what a node describes, and every node inside it.

    Args:
        node: a mapping with ``_target_`` (a config node or a plain dict).
        **extra: further arguments for the outermost constructor; they win over the node's own, and are
            passed as they are.

    Returns:
        The object; if the node says ``_partial_: true``, a function that takes what is missing.

    Raises:
        RefusedError: if a ``_target_`` is not allowed; then nothing was imported.
        LabError: whatever a constructor raises.
    """
    tree: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    refuse(tree)
    for _, each in nodes(tree):
        confirm(each["_target_"], _locate(each["_target_"]))
    try:
        # Partial, because Hydra would copy the extra arguments into a config.
        factory = hydra.utils.instantiate(tree, _convert_="object", _partial_=True)
        return partial(factory, **extra) if tree.get("_partial_") else factory(**extra)
    except InstantiationException as error:
        raise _cause(error) from error


def _locate(target: str) -> object:
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError("CFG-TARGET", f"_target_: cannot import '{target}': {error}") from error


def _cause(error: BaseException) -> BaseException:
    """The constructor's own error, out of the wrapping that Hydra adds at every level."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, InstantiationException):
        return ConfigError("CFG-BUILD", str(error).splitlines()[0])
    return error
