"""Compose a configuration, and say in one line what is wrong with it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import Container, DictConfig, ListConfig, open_dict
from omegaconf.errors import MissingMandatoryValue

from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.command.explain import CAUSES, explain
from stable_diffusion_lab.error import ConfigError

OPEN = ("adapt.weights", "adapt.actions")  # mappings whose keys are the user's own
MAX_BYTES = 1_000_000
MAX_NODES = 10_000


def compose(verb: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of a command, with its interpolations intact but known to resolve.

    Args:
        verb: name of the primary file in ``conf``.
        overrides: Hydra overrides, e.g. ``["generator=dcgan", "trainer.max_steps=100"]``.

    Raises:
        ConfigError: names the key or the file and line, and the nearest valid name.
    """
    overrides = opened(overrides)
    with readable(verb, overrides):
        look(overrides)
        config = _compose(verb, overrides)
    probe(config)
    return config


def opened(overrides: Sequence[str]) -> list[str]:
    """Overrides that may add keys to mappings whose keys are the user's own: Hydra takes all as closed."""
    return [f"++{word}" if re.match(rf"({'|'.join(OPEN)})[.=]", word) else word for word in overrides]


def _compose(verb: str, overrides: Sequence[str]) -> DictConfig:
    """As in a job of Hydra's own, ``HydraConfig`` knows the overrides afterwards."""
    with hydra.initialize_config_dir(str(CONF), job_name="sdlab", version_base="1.3"):
        config = hydra.compose(verb, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def look(overrides: Sequence[str]) -> None:
    """Look at the files that a configuration is composed from, and at the overrides.

    Raises:
        ConfigError: if a folder is missing or a file too large, or an override is what Hydra would take for a
            group without an option.
    """
    guard(_folders(overrides))
    for each in OverridesParser.create().parse_overrides(list(overrides)):
        bare = isinstance(each.value(), int | float | None) and not each.is_delete()
        if not each.key_or_group or (bare and (CONF / each.key_or_group).is_dir()):
            raise ConfigError("CFG-SYNTAX", f"{each.input_line!s}: write group=option or key=value")


@contextmanager
def readable(verb: str, overrides: Sequence[str]) -> Iterator[None]:
    """Turn every complaint about the configuration into a ``ConfigError`` of one line."""
    try:
        yield
    except CAUSES as error:
        raise explain(error, lambda key: _names(verb, overrides, key)) from error


def _names(verb: str, overrides: Sequence[str], key: str) -> list[str]:
    """Key paths and groups that exist when the override of an unknown key is left out."""
    primary = yaml.safe_load((CONF / f"{verb}.yaml").read_text(encoding="utf-8"))
    groups = [group for entry in primary.get("defaults", []) if isinstance(entry, dict) for group in entry]
    others = [word for word in overrides if word.partition("=")[0].lstrip("+~") != key]
    try:
        return groups + list(_paths(_compose(verb, others)))
    except CAUSES:
        return groups


def _paths(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        path = f"{prefix}.{key}" if prefix else key
        yield path
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_interpolation():
            yield from _paths(child, path)


def probe(config: DictConfig) -> None:
    """Look at every value once.

    Raises:
        ConfigError: on a missing value, an interpolation that leads nowhere or in a circle, or more than
            ``MAX_NODES`` values.
    """
    stack: list[tuple[str, Container]] = [("", config)]
    count = 0
    while stack:
        prefix, node = stack.pop()
        for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
            where = f"{prefix}.{key}" if prefix else str(key)
            value = _value(config, node, key, where)
            count += 1
            if count > MAX_NODES:
                raise ConfigError("CFG-SIZE", f"{where}: the configuration expands past {MAX_NODES} values")
            if isinstance(value, Container):
                stack.append((where, value))


def _value(root: DictConfig, node: Container, key: object, where: str) -> object:
    try:
        return node[key]
    except MissingMandatoryValue as error:
        own = error.full_key or where  # where it is written, of what others refer to
        raise ConfigError("CFG-MISSING", f"{own}: has no value yet; set it with {own}=...") from None
    except CAUSES as error:
        raise explain(error, lambda _: _paths(root)) from error


def guard(folders: Iterable[Path]) -> None:
    """Look at the size of every YAML file before it is parsed into a configuration.

    A few hundred bytes of nested aliases can expand to millions of nodes; counting them without
    expanding takes no time.

    Raises:
        ConfigError: names the file.
    """
    for path in sorted(file for folder in folders for file in folder.rglob("*.yaml")):
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError("CFG-SIZE", f"{path}: larger than {MAX_BYTES} bytes")
        if b"*" in path.read_bytes() and _expanded(path) > MAX_NODES:
            raise ConfigError("CFG-SIZE", f"{path}: its aliases expand past {MAX_NODES} values")


def _expanded(path: Path) -> int:
    with path.open("rb") as file:
        return _count(yaml.compose(file), {})


def _count(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Number of nodes after the expansion of aliases; an alias to its own parent counts once."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 1
        children = [it for entry in node.value for it in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_count(child, known) for child in children)
    return known[id(node)]


def _folders(overrides: Sequence[str]) -> list[Path]:
    """Our configuration folder, and those that the command line adds to the search path."""
    added = [word for word in overrides if word.lstrip("+").startswith("hydra.searchpath=")]
    folders = [Path(path) for path in re.findall(r"(?:file://)?(/[^,\]'\"]+)", " ".join(added))]
    absent = [folder for folder in folders if not folder.is_dir()]
    if absent:
        raise ConfigError("CFG-PATH", f"hydra.searchpath: there is no folder {absent[0]}")
    return [CONF, *folders]
