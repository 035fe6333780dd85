"""One line for each way in which Hydra, OmegaConf and YAML say that a configuration is wrong."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.command.nearest import choices, hint
from stable_diffusion_lab.error import ConfigError

CAUSES = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError, RecursionError)


def explain(error: Exception, names: Callable[[str], Iterable[str]]) -> ConfigError:
    """The error that a user should see.

    Args:
        error: one of ``CAUSES``.
        names: key paths that exist, given the one that does not.
    """
    match error:
        case MissingConfigException():
            return _missing_option(error)
        case OverrideParseException():
            return ConfigError("CFG-SYNTAX", f"{error.override}: {_reason(error)}; write key=value")
        case MarkedYAMLError():
            return ConfigError("CFG-YAML", f"{_place(error)}: {error.problem or error.context}")
        case _:
            return _by_message(error, names)


def _by_message(error: Exception, names: Callable[[str], Iterable[str]]) -> ConfigError:
    message = str(error)
    if ambiguous := re.search(r"Ambiguous value for argument '(.+)'", message):
        key, _, value = ambiguous[1].partition("=")
        return ConfigError(
            "CFG-SYNTAX", f"{key}: a list is written '{key}=[{value}]'; to sweep over it, add -m"
        )
    if unset := re.search(r"You must specify '([^']+)'", message):
        return ConfigError("CFG-MISSING", f"{unset[1]}: choose an option with {unset[1]}=...")
    if elsewhere := re.search(r"override '(.+)'\.\s+Did you mean to override (?:one of )?(.+)\?", message):
        return ConfigError("CFG-KEY", f"{elsewhere[1]}: no such key; did you mean '{elsewhere[2]}'?")
    if unknown := re.search(r"Could not (?:override|delete) '~?([^'=]+)", message):
        exact = getattr(error.__cause__, "full_key", None) or unknown[1]
        return _unknown_key(exact, list(names(unknown[1])))
    if dangling := re.search(r"Interpolation key '([^']+)' not found", message):
        near = hint(dangling[1], names(dangling[1]))
        return ConfigError("CFG-REFERENCE", f"{_full_key(error)}: ${{{dangling[1]}}} refers to nothing{near}")
    if isinstance(error, RecursionError) or re.search("recursi|parent node", message, re.I):
        return ConfigError("CFG-REFERENCE", f"{_full_key(error)}: refers to itself in a circle")
    return ConfigError("CFG-INVALID", f"{_full_key(error)}: {_reason(error)}")


def _missing_option(error: MissingConfigException) -> ConfigError:
    group, _, option = (error.missing_cfg_file or "").partition("/")
    options = error.options or [file.stem for file in (CONF / group).glob("*.yaml")]
    return ConfigError("CFG-OPTION", f"{group}={option}: no such option{choices(option, options)}")


def _unknown_key(key: str, known: list[str]) -> ConfigError:
    """Suggest a neighbour of the same parent, or, if there is no such parent, a key from anywhere."""
    parent, _, name = key.rpartition(".")
    paths = [path.rpartition(".") for path in known]
    siblings = {leaf for above, _, leaf in paths if above == parent and leaf != "_target_"}
    near = choices(name, siblings) if siblings else hint(key, known)
    return ConfigError("CFG-KEY", f"{key}: no such key{near}")


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return "configuration"
    path = Path(mark.name)
    shown = Path("conf") / path.relative_to(CONF) if path.is_relative_to(CONF) else path
    return f"{shown}:{mark.line + 1}:{mark.column + 1}"


def _full_key(error: Exception) -> str:
    return str(getattr(error, "full_key", None) or "configuration")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
