"""Pictures of what the pair makes, while it learns."""

import warnings
from pathlib import Path

from lightning import Trainer

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.error import DiskError
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.training.atomic import write_atomically
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System


class Gallery(BetweenBatches):
    """Writes ``<run>/samples/step-00000500.png``: drafts on the left, their refinements on the right; of text
    a page to read, ``.txt``.

    The noise is the same in every picture, so that pictures of a run can be compared place by place.

    Args:
        run: folder of the run.
        every: batches between two pictures; there is one more at the end.
        seed: keys the noise.
        modality: what the samples are; says how many a picture holds.
    """

    def __init__(self, run: Path, every: PositiveInt, seed: Seed, modality: Modality) -> None:
        self.run = run
        self.every = every
        self.seed = seed
        self.modality = modality

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if trainer.is_global_zero and due(system.batches_seen, self.every, last):
            path = self.run / "samples" / f"step-{system.batches_seen:08d}{self.modality.ending}"
            drawn = system.average.generate(self.modality.crowd, self.seed)
            stored = Sample(*(self.modality.to_stored(samples.cpu()) for samples in drawn))
            try:
                write_atomically(path, self.modality.exhibit(stored))
            except DiskError as error:
                warnings.warn(f"{error}; training goes on without it", stacklevel=2)
