"""Pictures of what the pair makes, while it learns."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.error import DiskError
from stable_diffusion_lab.file.atomic import write_atomically
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.seeding import fold
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System


class Gallery(BetweenBatches):
    """Writes ``<run>/samples/step-00000500.png``: drafts on the left, their refinements on the right; of text
    a page to read, ``.txt``.

    Where the pair restores: damaged samples of the validation split, drafts, refinements, and the originals.
    Of what cannot be seen there are files beside it, ``step-00000500-draft-0.wav`` and so on.

    The noise is the same in every picture, so that pictures of a run can be compared place by place.

    Args:
        run: folder of the run.
        every: batches between two pictures; there is one more at the end.
        seed: keys the noise.
        data: what is damaged; its modality says how many samples a picture holds.
    """

    def __init__(self, run: Path, every: PositiveInt, seed: Seed, data: Data) -> None:
        self.run = run
        self.every = every
        self.seed = seed
        self.data = data

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if trainer.is_global_zero and due(system.batches_seen, self.every, last):
            stem = self.run / "samples" / f"step-{system.batches_seen:08d}"
            modality = self.data.modality
            shown = {k: modality.to_stored(x.cpu()) for k, x in self.draw(system.average).items()}
            try:
                write_atomically(stem.with_suffix(modality.ending), modality.exhibit(shown))
                self.write_apart(stem, shown)
            except DiskError as error:
                warnings.warn(f"{error}; training goes on without it", stacklevel=2)

    def draw(self, pair: Pair) -> dict[str, Tensor]:
        """What a picture shows from left to right, ``[crowd, ...]`` each."""
        modality = self.data.modality
        clean = modality.to_sample(self.data.stored("validation")[: modality.crowd])
        observed = pair.task.observe(clean, torch.Generator().manual_seed(fold(self.seed)))
        if observed is None:
            return pair.generate(modality.crowd, self.seed)._asdict()
        drawn = pair.generate(len(clean), self.seed, observed=observed.to(pair.device))
        return {"damaged": observed.sample, **drawn._asdict(), "clean": clean}

    def write_apart(self, stem: Path, shown: Mapping[str, Tensor]) -> None:
        """The first few samples of each stage as files of their own, if the modality wants any."""
        modality = self.data.modality
        for stage, samples in shown.items() if modality.apart else ():
            for index, data in enumerate(modality.files(samples[: modality.apart])):
                write_atomically(stem.with_name(f"{stem.name}-{stage}-{index}{modality.suffix}"), data)
