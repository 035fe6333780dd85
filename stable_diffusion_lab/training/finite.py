"""Noticing that numbers went wrong before the evidence is gone."""

from lightning import Trainer
from torch import isfinite

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import NonFiniteError
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System


class Finite(BetweenBatches):
    """Stops the run when a term is NaN or infinite.

    Args:
        every: batches between two looks, each of which waits for the device; there is one more at the end.

    Raises:
        NonFiniteError: on every rank, as soon as one rank finds something.
    """

    def __init__(self, every: PositiveInt) -> None:
        self.every = every

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if not due(system.batches_seen, self.every, last):
            return
        bad = [name for name, term in system.terms.items() if not isfinite(term)]
        if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            what = (
                f"{bad[0]} is {system.terms[bad[0]].item()}"
                if bad
                else "a term of another rank is not finite"
            )
            advice = "lower the learning rate or set trainer.gradient_clip_val"
            raise NonFiniteError("NONFINITE", f"batch {system.batches_seen - 1}: {what}; {advice}")
