"""What the objectives said, in the log."""

import torch
from lightning import Trainer
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System


class Terms(BetweenBatches):
    """Logs each term, ``train/<objective>/<player>``, and its weight, ``adapt/<objective>/<player>``.

    What else ``adapt`` has to say is there too, such as ``adapt/rate``. The step is the number of batches
    done, and the value the mean over ranks in the last of them.

    Args:
        every: batches between two lines, each of which waits for the device; there is one more at the end.
    """

    def __init__(self, every: PositiveInt) -> None:
        self.every = every

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if due(system.batches_seen, self.every, last) and system.terms:
            named: dict[str, Tensor | float] = {f"train/{name}": term for name, term in system.terms.items()}
            named |= {f"adapt/{name}": weight for name, weight in system.adapt.last.items()}
            named |= {f"adapt/{name}": value for name, value in system.adapt.status().items()}
            scalars = [torch.as_tensor(value, device=system.device) for value in named.values()]
            values = torch.stack([value.detach().float() for value in scalars])
            means = trainer.strategy.reduce(values, reduce_op="mean").tolist()
            for logger in trainer.loggers:  # each writes on rank 0 only
                logger.log_metrics(dict(zip(named, means, strict=True)), step=system.batches_seen)
