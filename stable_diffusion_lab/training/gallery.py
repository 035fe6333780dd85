"""Pictures of what the pair makes, while it learns."""

import io
import warnings
from pathlib import Path

import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.error import DiskError
from stable_diffusion_lab.layer.image_range import to_image
from stable_diffusion_lab.training.atomic import write_atomically
from stable_diffusion_lab.training.boundary import BetweenBatches, due
from stable_diffusion_lab.training.system import System

_LEGIBLE = 56  # pixels: smaller images are enlarged to about this height
_GREY = 128


class Gallery(BetweenBatches):
    """Writes ``<run>/samples/step-00000500.png``: drafts on the left, their refinements on the right.

    The noise is the same in every picture, so that pictures of a run can be compared place by place.

    Args:
        run: folder of the run.
        every: batches between two pictures; there is one more at the end.
        seed: keys the noise.
        rows: images along each side of the two squares.
    """

    def __init__(self, run: Path, every: PositiveInt, seed: Seed, rows: PositiveInt = 8) -> None:
        self.run = run
        self.every = every
        self.seed = seed
        self.rows = rows

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if trainer.is_global_zero and due(system.batches_seen, self.every, last):
            path = self.run / "samples" / f"step-{system.batches_seen:08d}.png"
            sample = system.average.generate(self.rows**2, self.seed)
            sides = [grid(to_image(images.cpu()), self.rows) for images in sample]
            try:
                write_atomically(path, png(beside(*sides)))
            except DiskError as error:
                warnings.warn(f"{error}; training goes on without it", stacklevel=2)


def grid(images: Tensor, columns: int) -> Image.Image:
    """Lay images out row by row, on grey, small ones enlarged by whole factors.

    Args:
        images: ``[N, C, H, W]`` uint8 with one or three channels.
        columns: images in a row.
    """
    factor = max(1, _LEGIBLE // images.shape[2])
    large = images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    tiles = functional.pad(large, (0, 2, 0, 2), value=_GREY)
    rows = -(-len(tiles) // columns)
    missing = tiles.new_full((rows * columns - len(tiles), *tiles.shape[1:]), _GREY)
    table = torch.cat([tiles, missing]).unflatten(0, (rows, columns))
    picture = table.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return Image.fromarray(functional.pad(picture, (0, 0, 2, 0, 2, 0), value=_GREY).squeeze(2).numpy())


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of the same size next to each other, a white line between them."""
    both = Image.new(left.mode, (left.width + right.width + 8, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 8, 0))
    return both


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
