"""Any folder of images."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.folder import divided, tenth, whole
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.file.folder import find
from stable_diffusion_lab.file.picture_file import FAULTS, SUFFIXES, opened, reason

MODES = {1: "L", 3: "RGB"}


class ImageFolder(Data):
    """Every image below a folder, cropped to the middle and resized, without labels.

    An image belongs to a split by the hash of its path inside the folder, 80/10/10, so that adding
    files moves none of the others. Hidden files and folders are left out. Transparency is put on white
    and 16-bit images are scaled to 8 bits.

    Args:
        path: the folder.
        shape: ``(channels, size, size)``.
        size: height and width in pixels after resizing (Lanczos).
        channels: 1 for grey, 3 for colour.
        name: short name for logs and folders.
        classes: none, for there are no labels: 0.

    Raises:
        ConfigError: if ``channels`` is neither 1 nor 3.
        DataError: if the folder is missing or has no images, or files cannot be read, naming them.
    """

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        size: PositiveInt = 32,
        channels: PositiveInt = 3,
        name: str = "image_folder",
        classes: NonNegativeInt = 0,
    ) -> None:
        if channels not in MODES:
            raise ConfigError("CFG-VALUE", f"data.channels: {channels}; choose from [1, 3]")
        folder = Path(path)
        files = sorted(find(folder, SUFFIXES))
        if not files:
            raise DataError("DATA-EMPTY", f"{folder}: no images; they end in {' '.join(sorted(SUFFIXES))}")
        images = _decode_all(folder, files, size, channels)
        splits = (Split(images[part], None) for part in divided(torch.tensor([tenth(f) for f in files])))
        super().__init__(name, shape, *splits, classes=classes)


def _decode_all(folder: Path, files: list[str], size: int, channels: int) -> torch.Tensor:
    """Images ``[N, channels, size, size]``, or one error that names the files at fault."""

    def attempt(file: str) -> np.ndarray | str:
        try:
            return _decode(folder / file, size, channels)
        except FAULTS as error:
            return f"{file}: {reason(error)}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(attempt, files))
    return torch.from_numpy(np.stack(whole(results, "DATA-IMAGE", folder, "images")))


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    """One image as ``[channels, size, size]`` uint8."""
    with opened(path) as image:
        image.load()
        upright = _opaque(_eight_bit(ImageOps.exif_transpose(image)))
        fitted = ImageOps.fit(upright.convert(MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(fitted).reshape(size, size, channels).transpose(2, 0, 1)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion would clip it."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, which have no fixed range")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("more than 16 bits per pixel")
    return Image.fromarray((values / 257).round().astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Put transparent images on white."""
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))
