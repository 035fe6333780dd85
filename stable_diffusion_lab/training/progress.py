"""One bar for the whole run."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.training.system import System

_REFRESH = 0.2  # seconds


class Bar(ProgressBar):
    """Phase, speed, time left, objective terms and the latest scores of draft and refined samples.

    Where the output is no terminal it prints a plain line at every tenth of the run instead.

    Args:
        every: batches between two looks at the terms, each of which waits for the device.
        scores: gives the latest validation scores by name, such as ``draft/fd``.
        console: where to draw.
    """

    def __init__(
        self, every: PositiveInt, scores: Callable[[], Mapping[str, float]], console: Console | None = None
    ) -> None:
        super().__init__()
        self.every = every
        self.scores = scores
        self.console = console or Unheard()
        self.enabled = True
        self.terms = ""
        self.drawn = 0.0
        self.started = (0, 0.0)
        self.progress = _Lines(self.console)
        self.task = self.progress.add_task("", total=None)

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: System) -> None:  # type: ignore[override]
        self.started = (pl_module.batches_seen, time.monotonic())
        self.progress.update(self.task, total=trainer.num_training_batches, completed=pl_module.batches_seen)
        if self.enabled and self.console.is_terminal:
            self.progress.start()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: System, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.enabled:
            return
        done, total = pl_module.batches_seen + 1, int(trainer.num_training_batches)
        if done % self.every == 0 or done == total:
            self.terms = "  ".join(f"{name} {term.item():.4g}" for name, term in pl_module.terms.items())
        if self.console.is_terminal:
            self.draw(pl_module, done, last=done == total)
        elif done * 10 // total > (done - 1) * 10 // total:
            self.console.print(self.line(pl_module, done, total), soft_wrap=True, highlight=False)

    def draw(self, system: System, done: int, last: bool) -> None:
        """Move the bar, at most a few times a second."""
        now = time.monotonic()
        if last or now - self.drawn > _REFRESH:
            self.drawn = now
            self.progress.update(self.task, completed=done, description=phase(system))
            self.progress.note = f"{self.terms}\n{self.results()}".strip()

    def line(self, system: System, done: int, total: int) -> str:
        """The same in plain text."""
        first, since = self.started
        speed = (done - first) / max(time.monotonic() - since, 1e-9)
        head = f"{done}/{total}  {phase(system)}  {speed:.1f} batches/s"
        return "  ".join(part for part in (head, self.terms, self.results()) if part)

    def results(self) -> str:
        """The first score of each stage, ``draft/fd 2.1  refined/fd 1.6``."""
        first: dict[str, str] = {}
        for name, value in self.scores().items():
            first.setdefault(name.split("/")[0], f"{name} {value:.3g}")
        return "  ".join(first.values())

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it is and give the terminal back."""
        if self.progress.live.is_started:
            self.progress.stop()


def phase(system: System) -> str:
    """Who learns now."""
    players = ("refiner", "generator")
    learning = [name for name in players if system.schedule.learns(name, system.batches_seen)]
    return f"{' and '.join(learning) or 'nobody'} learn{'' if len(learning) == 2 else 's'}"


class Unheard(Console):
    """Goes on without a word where whoever reads the output, as head does, has seen enough."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Lines(Progress):
    """A bar with a note below it."""

    def __init__(self, console: Console) -> None:
        self.note = ""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
        )
        super().__init__(*columns, console=console, refresh_per_second=5)

    def get_renderables(self) -> Any:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.note, style="dim")


class _Speed(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> RenderableType:  # type: ignore[override]
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
