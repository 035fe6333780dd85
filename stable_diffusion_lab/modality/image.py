"""Images: bytes in store, [-1, 1] for networks, a grid to look at."""

import math
from collections.abc import Iterable

import numpy
import torch
from PIL import Image as Picture
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.file.base import MaskSpec, Reader
from stable_diffusion_lab.file.picture import PictureReader
from stable_diffusion_lab.modality.base import Modality, png

_LEGIBLE = 56  # pixels: smaller images are enlarged to about this size
_GREY = 128


class Image(Modality):
    """``[N, C, H, W]`` with one or three channels, stored as uint8."""

    noun = "images"
    entry = "value"
    crowd = 64
    suffix = ".png"

    def to_sample(self, stored: Tensor) -> Tensor:
        return stored.float() / 127.5 - 1

    def to_stored(self, sample: Tensor) -> Tensor:
        """Clamped and rounded."""
        return ((sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def array(self, stored: Tensor) -> numpy.ndarray:
        """N x H x W for grey images and N x H x W x C for others, uint8."""
        last = stored.permute(0, 2, 3, 1)
        return (last.squeeze(3) if last.shape[3] == 1 else last).numpy()

    def panel(self, stored: Tensor) -> Picture.Image:
        """A square grid."""
        return grid(stored, columns=math.isqrt(len(stored) - 1) + 1)

    def files(self, stored: Tensor) -> Iterable[bytes]:
        return (png(Picture.fromarray(each)) for each in self.array(stored))

    def reader(self, shape: tuple[int, ...], mask: MaskSpec) -> Reader:
        return PictureReader(shape, mask)


def grid(images: Tensor, columns: int) -> Picture.Image:
    """Lay images out row by row, on grey, small ones enlarged by whole factors.

    Args:
        images: ``[N, C, H, W]`` uint8 with one or three channels.
        columns: images in a row.
    """
    factor = max(1, _LEGIBLE // max(images.shape[2:]))
    large = images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    tiles = functional.pad(large, (0, 2, 0, 2), value=_GREY)
    rows = -(-len(tiles) // columns)
    missing = tiles.new_full((rows * columns - len(tiles), *tiles.shape[1:]), _GREY)
    table = torch.cat([tiles, missing]).unflatten(0, (rows, columns))
    picture = table.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return Picture.fromarray(functional.pad(picture, (0, 0, 2, 0, 2, 0), value=_GREY).squeeze(2).numpy())
