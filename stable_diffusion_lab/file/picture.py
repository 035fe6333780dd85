"""Picture files: any mode that Pillow reads without loss, written so that what is known stays bit-equal."""

import re
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.file.base import MaskSpec, Opened, Reader
from stable_diffusion_lab.file.picture_file import SUFFIXES, alpha, coloured, colours, read, save, suffix

WIDE = ("I", "I;16", "I;16B", "I;16L")  # 16 bits per pixel
GREY = ("1", "L", "LA", *WIDE)


class PictureReader(Reader):
    """Opens pictures for pairs of grey or colour images.

    Args:
        shape: of one sample of the pair, ``(1 or 3, H, W)``.
        mask: the name of a picture of the same size, in which everything that is neither black nor
            transparent is lost; ``[left, top, width, height]`` in pixels, or the same as text; ``auto`` for
            what is completely transparent; ``None`` for nothing.

    Raises:
        ConfigError: if ``mask`` is none of these.
    """

    noun = "pictures"
    suffixes = SUFFIXES

    def __init__(self, shape: tuple[int, ...], mask: MaskSpec) -> None:
        self.channels = shape[0]
        self.lost = _masker(mask)

    def open(self, path: Path) -> "Picture":
        image = read(path)
        return Picture(path, image, self.lost(path, image), self.channels)


class Picture(Opened):
    """One picture. To a grey pair each colour channel is a sample; grey pictures are three equal channels to
    a colour pair, and the mean of what comes back.

    Pictures in which all that is seen has no colour are treated as grey ones, whatever their mode,
    unless they are ``parted``.

    Args:
        path: for messages, and for the suffix of results.
        image: as ``picture_file.read`` gives it.
        lost: which pixels are lost, ``[H, W]`` bool.
        channels: 1 or 3, of the pair.
    """

    masks = "mask=<picture>, mask=[left,top,width,height], or mask=auto where pixels are transparent"

    def __init__(self, path: Path, image: Image.Image, lost: np.ndarray, channels: int) -> None:
        self.path = path
        self.image = image
        self.lost = lost
        self.opacity = alpha(image)
        self.pixels = np.asarray(image)
        self.peak = 65535 if image.mode in WIDE else 255
        self.suffix = suffix(path, image)
        planes = self._planes()
        planes[:, ~lost & (self.opacity == 0)] = self.peak  # a colour that nobody sees: white, as in training
        seen = planes[:, ~lost]
        if (seen == seen[:1]).all():
            planes = planes[:1]
        values = torch.from_numpy(planes.astype(np.float32)) * (2 / self.peak) - 1
        self.planes = len(values)
        self.whole = values[:, None] if channels == 1 else values.expand(channels, -1, -1)[None]
        self.seen = torch.from_numpy(~lost).float().expand(len(self.whole), 1, *lost.shape)

    def parted(self) -> Self:
        if self.image.mode in WIDE:
            message = f"{self.path}: 16 bits of grey, and in colours only 8 can be written; save it with 8"
            raise DataError("DATA-IMAGE", message)
        found = copy(self)
        found.image = coloured(self.image)
        found.pixels = np.asarray(found.image)
        found.planes = 3
        found.suffix = suffix(self.path, found.image)
        return found

    def encode(self, completed: Tensor, exact: Tensor) -> bytes:
        keep = (exact[0, 0] > 0).numpy() | (~self.lost & (self.opacity == 0))
        values = completed.flatten(0, 1)
        values = values if len(values) == self.planes else values.mean(dim=0, keepdim=True)
        planes = ((values.clamp(-1, 1) + 1) * (self.peak / 2)).round().numpy().astype(np.int64)
        changed = self._pixels(planes)
        if self.pixels.ndim == 3 and self.image.mode in ("LA", "RGBA"):
            changed[..., -1] = np.where(self.lost, 255, self.opacity)
        shape = keep.reshape(keep.shape + (1,) * (self.pixels.ndim - 2))
        pixels = np.where(shape, self.pixels, changed).astype(self.pixels.dtype)  # in its order of bytes
        return save(self.image, pixels)

    def view(self, samples: Tensor) -> Tensor:
        return samples.flatten(1, 2)

    def spread(self, completed: Tensor) -> Tensor:
        """The standard deviation of each pixel: black where all agree, white from a quarter of the range."""
        return (completed.std(dim=0, correction=0, keepdim=True) * 4 - 1).clamp(-1, 1)

    def _planes(self) -> np.ndarray:
        """Colours ``[1 or 3, H, W]``, 0 to ``peak``."""
        if self.image.mode in WIDE:
            return self.pixels[None].astype(np.int64)
        if self.image.mode in GREY:
            return np.array(self.image.convert("L"))[None]
        return colours(self.image).transpose(2, 0, 1).copy()

    def _pixels(self, planes: np.ndarray) -> np.ndarray:
        """Colours ``[1 or 3, H, W]`` in the picture's own mode, ``[H, W]`` or ``[H, W, channels]``."""
        mode = self.image.mode
        if mode in WIDE:
            return self._visible(planes[0])
        if mode in GREY:
            grey = Image.fromarray(planes[0].astype(np.uint8))
            return self._visible(np.array(grey.convert(mode, dither=Image.Dither.NONE)))
        wanted = np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0)
        if mode == "P":
            return _nearest(wanted, self.image)
        rgb = Image.fromarray(np.ascontiguousarray(wanted.astype(np.uint8)))
        return self._visible(np.array(rgb.convert(mode)))

    def _visible(self, pixels: np.ndarray) -> np.ndarray:
        """Where a colour stands for transparency, take the one beside it."""
        if "transparency" in self.image.info:
            hit = pixels == np.array(self.image.info["transparency"])
            hit = hit.all(axis=-1) if pixels.ndim == 3 else hit
            first = pixels if pixels.ndim == 2 else pixels[..., 0]
            first[hit] = first[hit] ^ 1
        return pixels


def _nearest(wanted: np.ndarray, image: Image.Image) -> np.ndarray:
    """Index ``[H, W]`` of the opaque entry of a palette that is nearest to each colour ``[H, W, 3]``."""
    plain = image.copy()
    plain.apply_transparency()
    palette = torch.tensor(plain.getpalette("RGBA") or [], dtype=torch.float32).view(-1, 4)
    opaque = torch.nonzero(palette[:, 3] == 255).flatten()
    entries = opaque if len(opaque) else torch.arange(len(palette))
    found, where = torch.from_numpy(wanted.reshape(-1, 3).copy()).float().unique(dim=0, return_inverse=True)
    nearest = [torch.cdist(part, palette[entries, :3]).argmin(dim=1) for part in found.split(65536)]
    return entries[torch.cat(nearest)][where].view(wanted.shape[:2]).numpy()


Masker = Callable[[Path, Image.Image], np.ndarray]


def _masker(mask: MaskSpec) -> Masker:
    """What finds the lost pixels ``[H, W]`` of a picture, which it is given with its path."""
    if mask is None:
        return lambda path, image: np.zeros((image.height, image.width), dtype=bool)
    if mask == "auto":
        return lambda path, image: alpha(image) == 0
    written = isinstance(mask, str) and re.fullmatch(r"\s*-?\d+(\s*,\s*-?\d+)*\s*", mask)
    if isinstance(mask, str) and not written:
        return lambda path, image: _drawn(Path(mask), path, image)
    box = [float(number) for number in (mask.split(",") if isinstance(mask, str) else mask)]
    if len(box) != 4 or any(number != int(number) for number in box) or min(box) < 0 or min(box[2:]) < 1:
        raise ConfigError("CFG-VALUE", f"mask: {mask} is no box; say mask=[left,top,width,height] in pixels")
    return lambda path, image: _box([int(number) for number in box], path, image)


def _box(box: Sequence[int], path: Path, image: Image.Image) -> np.ndarray:
    left, top, width, height = box
    if left + width > image.width or top + height > image.height:
        size = f"{image.width}x{image.height}"
        raise DataError("DATA-MASK", f"{path}: mask {list(box)} reaches beyond its {size} pixels")
    lost = np.zeros((image.height, image.width), dtype=bool)
    lost[top : top + height, left : left + width] = True
    return lost


def _drawn(mask: Path, path: Path, image: Image.Image) -> np.ndarray:
    """What is neither black nor transparent in another picture; at least half of white in a lossy one."""
    try:
        drawn = read(mask)
    except DataError as error:
        raise DataError(error.tag, f"mask: {error.args[0]}") from error
    if drawn.size != image.size:
        sizes = (f"{it.width}x{it.height}" for it in (drawn, image))
        raise DataError("DATA-MASK", "{}: the mask {} is {}, the picture {}".format(path, mask, *sizes))
    light = np.asarray(drawn) if drawn.mode in WIDE else colours(drawn).max(axis=-1)
    least = 127 if drawn.format in ("JPEG", "MPO") else 0
    return (light > least) & (alpha(drawn) > 0)
