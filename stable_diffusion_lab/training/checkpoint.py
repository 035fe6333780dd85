"""Saving a run so that it can go on as if nothing had happened."""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch import callbacks
from lightning.pytorch.utilities import rank_zero_only

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import CheckpointError, NonFiniteError
from stable_diffusion_lab.file.atomic import sweep
from stable_diffusion_lab.file.tensor_file import verify
from stable_diffusion_lab.training.boundary import BetweenBatches, settled
from stable_diffusion_lab.training.system import System

PATTERN = "step-*.ckpt"


class Checkpoint(BetweenBatches, callbacks.Checkpoint):
    """Saves ``<run>/checkpoints/step-00001200.ckpt`` between batches, by the system's own batch counter.

    Args:
        run: folder of the run.
        every: batches between two checkpoints; there is one more at the end.
        keep: how many of the newest stay.
    """

    def __init__(self, run: Path, every: PositiveInt, keep: PositiveInt = 2) -> None:
        self.run = run
        self.every = every
        self.keep = keep
        self.saved = -1

    @rank_zero_only
    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        sweep(self.run / "checkpoints")

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        # Gradients that still accumulate are not part of a checkpoint: wait until they are used up.
        passed = system.batches_seen // self.every > max(self.saved, 0) // self.every
        if last or (passed and settled(trainer, system)):
            self.save(trainer, system)

    def save(self, trainer: Trainer, system: System) -> Path:
        """Save now, unless this batch is saved already. All ranks have to call it.

        Raises:
            NonFiniteError: if a weight is NaN or infinite; nothing is written.
            DiskError: if the disk is full; older checkpoints stay.
        """
        path = self.run / "checkpoints" / f"step-{system.batches_seen:08d}.ckpt"
        if self.saved != system.batches_seen:
            self.refuse_non_finite(system)
            trainer.save_checkpoint(path)
            self.saved = system.batches_seen
            self.prune()
        return path

    def refuse_non_finite(self, system: System) -> None:
        """A checkpoint of NaN would push out the last one that is worth something."""
        weights = [*system.named_parameters(), *system.named_buffers()]
        bad = [name for name, weight in weights if not torch.isfinite(weight).all()]
        if bad:
            found = f"{bad[0]} and {len(bad) - 1} more of {len(weights)} tensors are not finite"
            files = sorted((self.run / "checkpoints").glob(PATTERN))
            rest = f"last good checkpoint: {files[-1]}" if files else "no checkpoint yet"
            raise NonFiniteError("NONFINITE", f"batch {system.batches_seen}: {found}; not saved; {rest}")

    @rank_zero_only
    def prune(self) -> None:
        """Remove all but the newest checkpoints."""
        for path in sorted((self.run / "checkpoints").glob(PATTERN))[: -self.keep]:
            path.unlink()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        assert trainer.train_dataloader is not None
        checkpoint["global_batch"] = trainer.train_dataloader.global_batch
        # A run is one Lightning epoch, saved as still open, so that a finished run can be prolonged; and the
        # next batch, which has just been fetched, is saved as still to come.
        loop = checkpoint["loops"]["fit_loop"]
        epoch, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
        batches["is_last_batch"] = False
        for scope in ("total", "current"):
            epoch[scope].update(processed=0, completed=0)
            batches[scope]["ready"] = batches[scope]["completed"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.saved = checkpoint["batches_seen"]


def latest(run: Path) -> Path:
    """Newest undamaged checkpoint of a run. Says on stderr which ones it had to leave out.

    Raises:
        CheckpointError: if there is none.
    """
    for path in sorted((run / "checkpoints").glob(PATTERN), reverse=True):
        try:
            verify(path)
        except CheckpointError as error:
            _say(f"sdlab: warning[{error.tag}]: {error.args[0]}; falling back to the one before")
        else:
            return path
    raise CheckpointError("CKPT-NONE", f"no usable checkpoint under {run}")


@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)
