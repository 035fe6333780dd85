"""Help, read from the configuration files: their comments are the documentation."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stable_diffusion_lab.command.config_path import CONF

USAGE = """sdlab: train, evaluate and sample a generator whose drafts a variational autoencoder refines.

usage: sdlab VERB [key=value ...] [--trace]

{verbs}

  sdlab VERB --help    what it does, every value and every option, with examples
  sdlab --version

A key is a value (trainer.max_steps=100) or a group (generator=dcgan); the syntax is Hydra's, and
-m, --cfg job, --info and -sc install=bash are Hydra's too. --trace shows the traceback of an error."""


def overview(verbs: Iterable[str]) -> str:
    """What ``sdlab --help`` prints."""
    lines = [f"  {verb:<10} {_comment(CONF / f'{verb}.yaml')[0]}" for verb in verbs]
    return USAGE.format(verbs="\n".join(lines))


def teach(verb: str) -> str:
    """What ``sdlab VERB --help`` prints."""
    file = CONF / f"{verb}.yaml"
    parts = [
        f"usage: sdlab {verb} [key=value ...]",
        "\n".join(_comment(file)),
        "values\n" + "\n".join(f"  {line}" for line in _values(file)),
    ]
    groups = _groups(file)
    if groups:
        parts.append("groups (* is the default)\n" + "\n".join(groups))
        parts.append("values inside a group: sdlab train --cfg job prints all of them")
    return "\n\n".join(parts)


def _comment(file: Path) -> list[str]:
    """The comment that a file opens with."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").removeprefix(" "))
    return lines or [""]


def _values(file: Path) -> list[str]:
    """Top-level values as they stand in the file, with their comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"\w+: *[^#\s]", line)]


def _groups(file: Path) -> list[str]:
    """One line for each group: its options, the default marked."""
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    entries = [entry for entry in config.get("defaults", []) if isinstance(entry, dict)]
    return [_group(key, chosen) for entry in entries for key, chosen in entry.items()]


def _group(key: str, chosen: str | list[str] | None) -> str:
    folder, _, name = key.removeprefix("optional ").partition("@")
    marked = chosen if isinstance(chosen, list) else [chosen]
    options = sorted(path.stem for path in (CONF / folder).glob("*.yaml"))
    shown = key if name else folder
    return f"  {shown:<20} {' '.join(f'*{it}' if it in marked else it for it in options)}"
