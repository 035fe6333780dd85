"""The moment between two batches."""

from abc import ABC, abstractmethod
from typing import Any

from lightning import Callback, Trainer

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.training.system import System


class BetweenBatches(Callback, ABC):
    """A callback that acts when a batch is completely done, and once more when the run is.

    Lightning calls ``on_train_batch_end`` of callbacks before that of the module, when the running average
    and the batch counter still belong to the batch before. At the start of the next batch everything
    agrees. A resumed run does not repeat what was done after the batch that it starts from.
    """

    begun = 0

    @abstractmethod
    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        """Act after ``system.batches_seen`` batches, one or more; ``last`` after the last of the run."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.begun = pl_module.batches_seen

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        if pl_module.batches_seen > self.begun:
            self.between(trainer, pl_module, last=False)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.between(trainer, pl_module, last=True)


def due(step: int, every: int, last: bool) -> bool:
    """Whether something that happens every so many batches, and at the end, happens now."""
    return last or step % every == 0


def settled(trainer: Trainer, system: System) -> bool:
    """Whether no gradients are being accumulated, so that weights and counters are the whole state."""
    return system.batches_seen % trainer.accumulate_grad_batches == 0
