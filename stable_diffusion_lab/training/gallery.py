"""Pictures of what the pair makes, while it learns."""

import io
import warnings
from pathlib import Path

import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.error import DiskError
from stable_diffusion_lab.layer.seeding import fold
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.atomic import write_atomically
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System


class Gallery(BetweenBatches):
    """Writes ``<run>/samples/step-00000500.png``: drafts on the left, their refinements on the right.

    Where the pair restores: damaged samples of the validation split, drafts, refinements, and the originals.

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
            path = self.run / "samples" / f"step-{system.batches_seen:08d}.png"
            modality = self.data.modality
            panels = [modality.to_stored(samples.cpu()) for samples in self.draw(system.average)]
            try:
                write_atomically(path, png(modality.picture(*panels)))
            except DiskError as error:
                warnings.warn(f"{error}; training goes on without it", stacklevel=2)

    def draw(self, pair: Pair) -> list[Tensor]:
        """What a picture shows, ``[crowd, ...]`` each."""
        modality = self.data.modality
        clean = modality.to_sample(self.data.validation.samples[: modality.crowd])
        observed = pair.task.observe(clean, torch.Generator().manual_seed(fold(self.seed)))
        if observed is None:
            return list(pair.generate(modality.crowd, self.seed))
        drawn = pair.generate(len(clean), self.seed, observed=observed.to(pair.device))
        return [observed.sample, *drawn, clean]


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
