"""Going on with a run: its own configuration, and the few things that may change."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.error import ConfigError

# What a resumed run may have different, and what does not matter to it.
FREE = ("trainer.max_steps", "trainer.devices", "logger", "health.stop", "health.snapshot", "health.patience")
UNUSED = ("name", "runs", "resume", "experiment")


def resumed(config: DictConfig, stored: DictConfig, words: Sequence[str] = ()) -> DictConfig:
    """The stored configuration, with the free keys that the command line sets.

    Whatever the command line does not name and leaves at its default counts as not set: the run keeps its own
    value.

    Args:
        config: composed from the command line.
        stored: of the run.
        words: the command line's overrides.

    Raises:
        ConfigError: names the first key that was changed and may not be, and both values.
    """
    default = compose("train")
    named = _named(words)
    own = flat(OmegaConf.to_container(stored))
    usual, wanted = _comparable(default, stored), _comparable(config, stored)
    for key in dict.fromkeys([*wanted, *own]):
        said = wanted.get(key) != usual.get(key) if key in wanted else False
        if (said or _below(key, named)) and wanted.get(key) != own.get(key):
            have, value = own.get(key, "nothing"), wanted.get(key, "nothing")
            message = f"{key}: the run has {have}, the command line {value}; leave it out or start a new run"
            raise ConfigError("CFG-RESUME", message)
    result = stored.copy()
    for key in FREE:
        value = _plain(config, key)
        if value != _plain(default, key) or any(_below(name, [key]) for name in named):
            OmegaConf.update(result, key, value, merge=False)
    if result.trainer.max_steps < stored.trainer.max_steps:
        message = f"trainer.max_steps: the run has {stored.trainer.max_steps}, it can only become longer"
        raise ConfigError("CFG-RESUME", message)
    return result


def _named(words: Sequence[str]) -> list[str]:
    """Key paths of what overrides set: of a group, where it goes."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    return [(each.package or each.key_or_group).replace("/", ".") for each in parsed]


def _below(key: str, names: Sequence[str]) -> bool:
    """Whether a key path is one of these, or part of one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _comparable(config: DictConfig, stored: DictConfig) -> dict[str, Any]:
    """Values by key, as they were if nothing free had changed."""
    copy = config.copy()
    for key in (*FREE, *UNUSED):
        OmegaConf.update(copy, key, OmegaConf.select(stored, key), merge=False, force_add=True)
    return flat(OmegaConf.to_container(copy, resolve=True))


def _plain(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested containers by dotted key."""
    if not isinstance(node, dict | list) or not node:
        return {prefix: node}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    leaves: dict[str, Any] = {}
    for key, value in items:
        leaves |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves
