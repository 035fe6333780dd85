"""A log that any tool can read: one JSON object per line."""

import json
import math
import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class JsonLines(Logger):
    """Appends ``{"step": ..., "time": ..., name: value, ...}`` to a file, on rank 0.

    The step is the number of batches done. Nothing is ever rewritten: a resumed run appends
    ``{"resumed": t, "time": ...}``, and what earlier lines say about steps after t did not happen.

    Args:
        path: the file.
        resumed: batch that the run starts from; 0 for a fresh run.
    """

    def __init__(self, path: Path, resumed: int = 0) -> None:
        super().__init__()
        self.path = path
        self.broken = False
        if resumed:
            self.mend()
            self.write({"resumed": resumed})

    @property
    def name(self) -> None:
        return None

    @property
    def version(self) -> None:
        return None

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run folder holds the config already."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one line. NaN and infinity, which JSON does not know, become null."""
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self.write({"step": step, **values})

    @rank_zero_only
    def write(self, record: dict[str, Any]) -> None:
        """Append a record with the wall time. A failure is said once, and training goes on."""
        line = json.dumps({"time": round(time.time(), 3), **record})
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            if not self.broken:
                warnings.warn(f"{self.path}: {error.strerror}; training goes on without it", stacklevel=2)
            self.broken = True

    @rank_zero_only
    def mend(self) -> None:
        """End a line that a power cut tore, so that the next one stands by itself."""
        if self.path.is_file() and not self.path.read_bytes().endswith(b"\n"):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of a log in the order of steps, without those that a resumption overtook or a kill tore."""
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "resumed" in record:
            records = [earlier for earlier in records if earlier["step"] <= record["resumed"]]
        else:
            records.append(record)
    return records
