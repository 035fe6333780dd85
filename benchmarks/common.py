"""What several benchmarks need."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer

from stable_diffusion_lab.command.config_path import CONF

# Objectives that teach nobody, or only to restore.
OTHERS = ("none", "energy_score", "reconstruction")


class Clock(Callback):
    """Seconds per step, without the first few, in which the generator is put onto the data.

    Args:
        warm: steps that do not count.
        now: what tells the time: of the wall, or of this process alone.
    """

    def __init__(self, warm: int, now: Callable[[], float] = time.perf_counter) -> None:
        self.warm = warm
        self.now = now

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.warm:
            self.began = self.now()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.per_step = (self.now() - self.began) / (trainer.global_step - self.warm)


def silent_trainer(steps: int, callbacks: Sequence[Callback]) -> Trainer:
    """A trainer on the CPU that writes, shows and saves nothing."""
    return Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=1,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def objectives() -> list[str]:
    """Every objective that teaches a generator to draw."""
    names = (path.stem for path in (CONF / "objective").glob("*.yaml"))
    return sorted(name for name in names if name not in OTHERS)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over runs."""
    return f"{statistics.mean(values):.3g} ± {statistics.stdev(values) if len(values) > 1 else 0:.2g}"


def options(description: str | None, seconds: float, out: str) -> argparse.ArgumentParser:
    """The command line of a benchmark made of cells."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=style)
    parser.add_argument("--seconds", type=float, default=seconds, help="of training per run")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, a core each")
    parser.add_argument("--out", type=Path, default=Path(out))
    return parser
