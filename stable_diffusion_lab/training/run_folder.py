"""One run, one folder."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stable_diffusion_lab.error import ConfigError, DiskError, DistributedError
from stable_diffusion_lab.file.atomic import write_atomically

VARIABLE = "SDLAB_RUN"  # tells the ranks of a run its folder
_RANKS = ("RANK", "SLURM_PROCID")
_PLACES = ("NODE_RANK", "LOCAL_RANK")  # of Lightning's own launcher, which knows no more before it launches
_SECRET = re.compile(r"(^|[_.-])(api_?key|key|token|secret|passw(or)?d|credentials?)$", re.IGNORECASE)
_PACKAGES = ("stable-diffusion-lab", "torch", "lightning", "hydra-core", "omegaconf", "numpy")


def create(runs: Path, name: str) -> Path:
    """Make ``<runs>/<date>/<time>-<name>/``, a folder that nobody else has.

    Raises:
        DiskError: if it cannot be made.
    """
    now = datetime.now()
    slug = re.sub(r"[^\w-]+", "-", name).strip("-") or "run"
    folder = runs / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{slug}"
    attempt = 1
    while True:
        try:
            path = folder if attempt == 1 else folder.with_name(f"{folder.name}-{attempt}")
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            attempt += 1
        except OSError as error:
            raise DiskError(
                "DISK-WRITE", f"{folder}: cannot be made ({error.strerror}); set runs="
            ) from error


def rank() -> int:
    """Number of this process among those of its run, as its launcher says; 0 if there is no launcher.

    Where it says only which node this is, and which process there, the larger of both: 0 is the first.
    """
    known = (int(os.environ[name]) for name in _RANKS if name in os.environ)
    return next(known, max(int(os.environ.get(name, 0)) for name in _PLACES))


def given() -> Path | None:
    """The folder that was chosen for this run by rank 0, or by whoever started all ranks.

    Raises:
        DistributedError: if this is a further rank, and nobody said where the run lies.
    """
    if VARIABLE not in os.environ and rank() > 0:
        message = f"rank {rank()} does not know the run folder; set {VARIABLE}=<folder> for all ranks"
        raise DistributedError("DIST-RUN", message)
    return Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for the processes that are started here, and leave no trace of a run behind.

    Lightning describes the group of processes in the environment and would take it for the next run's.
    """
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def describe(path: Path, config: str, command: Sequence[str]) -> None:
    """Write ``config.yaml``, ``command.txt`` and ``versions.json``.

    Args:
        path: folder of the run.
        config: text of the resolved config, secrets taken out (see ``redact``).
        command: words of the command line; secrets are taken out here.
    """
    write_atomically(path / "config.yaml", config.encode())
    words = [redact_word(word) for word in command]
    write_atomically(path / "command.txt", (" ".join(words) + "\n").encode())
    write_atomically(path / "versions.json", json.dumps(versions(), indent=2).encode())


def redact(node: Any) -> Any:
    """A copy of plain containers in which values of keys such as ``api_key`` or ``hf_token`` are ``***``."""
    if isinstance(node, dict):
        return {key: "***" if value and is_secret(key) else redact(value) for key, value in node.items()}
    return [redact(value) for value in node] if isinstance(node, list) else node


def redact_word(word: str) -> str:
    """The same for one word of a command line, ``logger.api_key=...``, and for credentials in a URL."""
    key, equals, value = word.partition("=")
    hidden = f"{key}=***" if equals and value and is_secret(key) else word
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1***@", hidden)


def is_secret(key: object) -> bool:
    """Whether a key names a secret by its last word."""
    return bool(_SECRET.search(str(key)))


def versions() -> dict[str, Any]:
    """What the numbers of a run depend on, beside its config."""
    installed = {package.metadata["Name"] for package in metadata.distributions()}
    known = {name: metadata.version(name) for name in _PACKAGES if name in installed}
    return {"python": platform.python_version(), **known, "git": revision(), "platform": platform.platform()}


def revision() -> str | None:
    """Commit of the checkout that the code runs from, with ``+`` if files were changed; else ``None``."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if status.stdout else "")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second training out of the folder.

    Where the file system knows locks, it lets go of that of a process that has died.

    Raises:
        ConfigError: if another process trains in the folder.
        DiskError: if the folder cannot be written.
    """
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        message = f"{path} is in use by another training; end it, or wait until it has ended"
        raise ConfigError("RUN-LOCKED", message) from error
    except OSError as error:
        raise DiskError("DISK-WRITE", f"{path}: cannot be locked ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()
