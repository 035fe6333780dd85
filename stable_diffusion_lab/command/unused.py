"""Words of a command line that change nothing."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from stable_diffusion_lab.command.config_path import CONF

_WHOLE = re.compile(r"\$\{(\w+)\}")
_ANY = re.compile(r"\$\{(\w+)[.}]")


def warn_of_unused(config: DictConfig, overrides: Sequence[str]) -> None:
    """Name those overrides on the error stream. Of a sweep, they may change other jobs."""
    for word in unused(config, overrides):
        print(f"sdlab: warning[UNUSED]: {word}: nothing in this run uses it", file=sys.stderr)


def unused(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Those overrides that choose or set what nothing else in the configuration refers to.

    A critic's regularizer, say, where no objective is a game. What some file of ``conf`` takes from its own
    group, as in ``regularizers: ${regularizer}``, is of use where such a file was composed.
    """
    tree: Any = OmegaConf.to_container(config, resolve=False)
    files = (path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml"))
    referred = {key for text in files for key in _WHOLE.findall(text)}
    parts = {key for key in referred & set(tree) if (CONF / key).is_dir()}
    found = {key: value for key, value in tree.items() if key not in parts}
    reached: set[str] = set()
    while found:
        reached |= set(found)
        wanted = {key for value in found.values() for key in _references(value)}
        found = {key: tree[key] for key in (wanted & parts) - reached}
    return [word for word in overrides if _group(word) in parts - reached]


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _references(entry)
    elif isinstance(value, str):
        yield from _ANY.findall(value)


def _group(word: str) -> str:
    return re.split(r"[.=@]", word.lstrip("+~"), maxsplit=1)[0]
