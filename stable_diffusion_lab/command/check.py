"""Hold a configuration against the signatures of what it would build, before anything is imported."""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from stable_diffusion_lab.command.allow import EXACT, nodes, refuse
from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.command.kind import ANYTHING, NODE, NODES, Kind, kind
from stable_diffusion_lab.command.nearest import choices
from stable_diffusion_lab.command.ranges import RANGES
from stable_diffusion_lab.command.signature import Parameter, signature
from stable_diffusion_lab.error import ConfigError

RESERVED = {"_target_", "_partial_"}

# Where something is wrong, the tag, and what is wrong.
Problem = tuple[str, str, str]


def check(verb: str, config: DictConfig) -> None:
    """Refuse unknown keys, missing values, wrong types and values out of range.

    Args:
        verb: the command; its top-level values are the fields of its class in ``schema``.
        config: a composed configuration.

    Raises:
        ConfigError: names the key, what was given, and what is allowed.
        RefusedError: if a ``_target_`` is not allowed.
    """
    tree: Any = OmegaConf.to_container(config, resolve=True)
    refuse(tree)
    problems = [*_call("", f"stable_diffusion_lab.command.schema.{verb.title()}Config", tree)]
    for path, node in nodes(tree):
        problems += _call(path, node["_target_"], node)
    if problems:
        # A wrong value shows wherever it is referred to; blame the place where it is written.
        where, tag, what = next((it for it in problems if _is_written(config, it[0])), problems[0])
        raise ConfigError(tag, f"{where}: {what}")


def _call(path: str, target: str, values: dict[str, Any]) -> Iterator[Problem]:
    """The values of one call against the parameters of its target."""
    try:
        takes = signature(target)
    except ConfigError as error:
        yield _join(path, "_target_"), error.tag, error.args[0]
        return
    given = {key: value for key, value in values.items() if key not in RESERVED}
    for key, value in given.items():
        if key in takes.parameters:
            yield from _value(_join(path, key), value, _kind(target, key, takes.parameters[key]))
        elif not takes.open:
            yield _join(path, key), "CFG-KEY", f"no such key{choices(str(key), takes.parameters)}"
    if not values.get("_partial_", False):
        missing = [key for key, it in takes.parameters.items() if it.required and key not in given]
        yield from ((_join(path, key), "CFG-MISSING", f"has no value; {_remedy(key)}") for key in missing)


def _remedy(key: str) -> str:
    """An empty list of options leaves no key behind, where ``none`` is what is meant."""
    return f"say {key}=none, or add it" if any(CONF.rglob(f"{key}/none.yaml")) else "add it"


def _value(where: str, value: Any, allowed: Kind) -> Iterator[Problem]:
    if allowed is NODES and isinstance(value, dict):
        for name, node in value.items():
            yield from _value(_join(where, name), node, NODE)
    elif not allowed.accepts(value):
        yield where, "CFG-VALUE", f"{_shown(value)} is not allowed; expected {allowed.text}"


def _kind(target: str, key: str, parameter: Parameter) -> Kind:
    if key in RANGES.get(target, {}):
        return kind(RANGES[target][key])
    return kind(parameter.annotation, ANYTHING if target in EXACT else NODE)


def _is_written(config: DictConfig, path: str) -> bool:
    """Whether a key path reaches its value without passing an interpolation."""
    node: Any = config
    for key in re.findall(r"[^.\[\]]+", path):
        step = int(key) if isinstance(node, ListConfig) else key
        node = node._get_node(step, validate_access=False) if OmegaConf.is_config(node) else None
        if node is None or node._is_interpolation():
            return node is None
    return True


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
