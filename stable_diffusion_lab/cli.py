"""The command line: a verb, then Hydra overrides.

Nothing heavy is imported until the configuration has been found good, so help and mistakes are quick.
"""

import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stable_diffusion_lab.error import ConfigError, DiskError, LabError, MemoryShortError

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERBS = {
    "train": "stable_diffusion_lab.command.train:train",
    "evaluate": "stable_diffusion_lab.command.evaluate:evaluate",
    "sample": "stable_diffusion_lab.command.sample:sample",
    "restore": "stable_diffusion_lab.command.restore:restore",
}

# Hydra's own command line does these; everything else is composed and checked here.
HYDRA_FLAGS = ("-m", "--multirun", "-c", "--cfg", "-p", "--package", "--resolve", "-i", "--info")
COMPLETION_FLAGS = ("-sc", "--shell-completion")

# A sweep leaves one small folder that says what was swept; each job makes its own run folder.
SWEEP = (
    "hydra.sweep.dir=${oc.select:runs,runs}/multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}",
    "hydra.sweep.subdir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``sdlab`` with these arguments (``sys.argv`` by default) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    trace = "--trace" in words
    try:
        dispatch([word for word in words if word != "--trace"])
    except KeyboardInterrupt:
        return _fail("interrupted", 130, trace)
    except BrokenPipeError:  # whoever reads the output, as head does, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LabError as error:
        return _fail(str(error), error.exit_code, trace)
    except Exception as error:
        known = _known(error)
        return _fail(str(known), known.exit_code, trace)
    return 0


def dispatch(words: list[str]) -> None:
    """Do what the words say.

    Raises:
        LabError: everything that a user can cause.
    """
    verb, rest = (words[0], [*map(_at_home, words[1:])]) if words else ("--help", [])
    if verb in COMPLETION_FLAGS:
        _complete(words)
    elif verb == "--version":
        print(f"sdlab {importlib.import_module('stable_diffusion_lab').__version__}")
    elif verb in ("-h", "--help"):
        print(_help().overview(VERBS))
    elif verb not in VERBS:
        raise ConfigError("CFG-VERB", f"{verb}: no such command{_nearest(verb)}; see sdlab --help")
    elif {"-h", "--help"} & set(rest):
        print(_help().teach(verb))
    else:
        _run(verb, rest)


def _at_home(word: str) -> str:
    """``key=~/folder`` as a shell would have written it out, had the key no dot."""
    key, equals, value = word.partition("=")
    return f"{key}={os.path.expanduser(value)}" if equals and re.match("~(/|$)", value) else word


def _run(verb: str, words: list[str]) -> None:
    """Compose, check, then import the command and call it."""
    flags = [word for word in words if word.startswith("-")]
    unknown = [flag for flag in flags if flag.split("=")[0] not in HYDRA_FLAGS]
    if unknown:
        raise ConfigError("CFG-FLAG", f"{unknown[0]}: no such option; values are set as key=value")
    if flags:
        _hydra(verb, words)
    else:
        from stable_diffusion_lab.command.compose import compose

        _call(verb, compose(verb, words))


def _call(verb: str, config: "DictConfig") -> None:
    from stable_diffusion_lab.command.check import check

    check(verb, config)
    module, function = VERBS[verb].split(":")
    getattr(importlib.import_module(module), function)(config)


def _hydra(verb: str, words: list[str]) -> None:
    """Hand over to Hydra's own command line: sweeps, and looking at the configuration."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from stable_diffusion_lab.command.compose import look, opened, probe, readable
    from stable_diffusion_lab.command.config_path import CONF

    def job(config: "DictConfig") -> None:
        # Processes that Lightning starts run sys.argv again: it has to name this job, not the sweep.
        sys.argv[1:] = [verb, *HydraConfig.get().overrides.task]
        probe(config)
        _call(verb, config)

    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word[:1] in "~+")]
    flags = [word for word in words if word not in overrides]
    overrides = opened(overrides)
    sweeps = bool({"-m", "--multirun"} & set(flags))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise errors here instead of printing them
    sys.argv[1:] = [*flags, *(SWEEP if sweeps else ()), *overrides]
    with readable(verb, overrides):
        look(overrides)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=verb)(job)()


def _complete(words: list[str]) -> None:
    """Shell completion. Hydra knows no verbs, so the verb is taken out of the line to complete."""
    import hydra

    from stable_diffusion_lab.command.config_path import CONF

    line = os.environ.get("COMP_LINE", "").split(" ")
    verb = line[1] if len(line) > 2 and line[1] in VERBS else "train"
    os.environ["COMP_LINE"] = " ".join(word for i, word in enumerate(line) if i != 1 or word != verb)
    sys.argv[1:] = words
    hydra.main(version_base="1.3", config_path=str(CONF), config_name=verb)(lambda config: None)()


def _help() -> Any:
    return importlib.import_module("stable_diffusion_lab.command.help")


def _nearest(verb: str) -> str:
    from stable_diffusion_lab.command.nearest import hint

    return hint(verb, VERBS)


def _known(error: Exception) -> LabError:
    """What a failure of another library means to the user."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            "DISK-FULL", f"{error.filename or 'run folder'}: no space left; free some, then resume"
        )
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch's own, by name: it may not be imported
    if kinds & {"MemoryError", "OutOfMemoryError"} or "can't allocate memory" in str(error):
        told = str(error).partition(". ")[0] or "of this machine"
        return MemoryShortError("MEMORY", f"too little memory ({told}); lower batch_size, or n")
    return LabError("BUG", f"{type(error).__name__}: {error}; run again with --trace and report it")


def _fail(message: str, code: int, trace: bool) -> int:
    if trace:
        traceback.print_exc()
    print("sdlab:", " ".join(message.split()), file=sys.stderr)
    return code
