"""Stopping between two batches, with everything saved."""

import os
import signal
import sys
from types import FrameType
from typing import Any

from lightning import Trainer

from stable_diffusion_lab.training.boundary import BetweenBatches, settled
from stable_diffusion_lab.training.checkpoint import Checkpoint
from stable_diffusion_lab.training.system import System

_ASKED_EVERY = 10  # batches, where there are several ranks: to agree, all have to wait for their devices
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Signals(BetweenBatches):
    """Saves and leaves when asked to stop; a second Ctrl-C leaves at once and touches nothing.

    A signal only sets a flag. The ranks agree on it between batches: a collective inside a handler, which
    is what Lightning 2.6 does, deadlocks when only one rank gets the signal. Exit status 130 after
    SIGINT, 143 after the others, which schedulers do not mistake for a finished run.

    Args:
        checkpoint: saves the run.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.received: signal.Signals | None = None
        self.before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        # Lightning installs its own handlers just before this hook; these take their place.
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN:  # nohup means: do not listen
                self.before[number] = handler
                signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if number == signal.SIGINT and self.received is signal.SIGINT:
            os._exit(130)
        self.received = signal.Signals(number)

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if (last or settled(trainer, system)) and self.agreed(trainer, last):
            self.checkpoint.save(trainer, system)
            self.stop(trainer, system.batches_seen)
        if last:
            self.restore()

    def agreed(self, trainer: Trainer, last: bool) -> bool:
        """Whether any rank was told to stop, as far as has been asked."""
        if trainer.world_size > 1 and trainer.global_step % _ASKED_EVERY and not last:
            return False
        return trainer.strategy.reduce_boolean_decision(self.received is not None, all=False)

    def stop(self, trainer: Trainer, step: int) -> None:
        """Say what happened and leave.

        The other ranks leave as if all were well: Lightning kills rank 0 when one of them reports a failure.
        """
        received = self.received or signal.SIGTERM
        if not trainer.is_global_zero:
            raise SystemExit(0)
        resume = f"sdlab train resume={self.checkpoint.run}"
        print(f"stopped by {received.name} at batch {step}, saved; resume with: {resume}", file=sys.stderr)
        raise SystemExit(130 if received is signal.SIGINT else 143)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.restore()

    def restore(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before.clear()
