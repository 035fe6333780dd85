"""Validation scores of the running average, while the pair learns."""

from typing import Any

from lightning import Trainer

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.evaluator import Evaluator
from stable_diffusion_lab.training.system import System


class Monitor(BetweenBatches):
    """Logs ``validation/draft/fd``, ``validation/refined/fd`` and so on at regular intervals.

    Beside them ``validation/elbo`` and others: how probable the refiner finds real and generated samples.

    As soon as the generator has learnt, ``adapt`` sees the scores too; not those of an extra evaluation at
    the end, which a longer run would not have had.

    Args:
        evaluator: what is measured, and how.
        every: batches between two evaluations; there is one more at the end.

    Attributes:
        latest: the last scores, ``{"draft/fd": ..., ...}``; empty before the first.
    """

    def __init__(self, evaluator: Evaluator, every: PositiveInt) -> None:
        self.evaluator = evaluator
        self.every = every
        self.latest: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        pl_module.adapt.expect(self.evaluator.higher_is_better())

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if due(system.batches_seen, self.every, last):
            ranks = (trainer.global_rank, trainer.world_size)
            scores = self.evaluator.score(system.average, "validation", *ranks)
            self.latest = trainer.strategy.broadcast(scores)  # ranks must not decide by their last bits
            found = self.latest | self.evaluator.log_likelihood(system.average, "validation")
            values = {f"validation/{name}": value for name, value in found.items()}
            for logger in trainer.loggers:  # each writes on rank 0 only
                logger.log_metrics(values, step=system.batches_seen)
            regular = system.batches_seen % self.every == 0
            if regular and system.schedule.learns("generator", system.batches_seen - 1):
                system.adapt.observe(self.latest)
