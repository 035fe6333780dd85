"""Images in Parquet files, as the Hugging Face hub keeps them."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.image_folder import MODES
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.extra import extra
from stable_diffusion_lab.file.picture_file import FORMATS


class ImageTable(Data):
    """A folder with ``train-*.parquet`` and ``test-*.parquet``, a row for each image and its label.

    The validation split is drawn from the training rows, the same ones in every run. All images have to be
    of one size.

    Args:
        path: the folder.
        image: column with the images, each a record with the file's ``bytes``.
        label: column with their classes.
        name: short name for logs and folders.
        shape: ``(channels, height, width)``; 1 channel for grey, 3 for colour.
        held_out: how many training rows are validation.
        classes: number of classes.

    Raises:
        ConfigError: if there are neither 1 nor 3 channels, or pyarrow is not installed.
        DataError: if files are absent or damaged, naming them and the row.
    """

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        held_out: PositiveInt,
        classes: NonNegativeInt,
        image: str = "img",
        label: str = "label",
        name: str = "image_table",
    ) -> None:
        if shape[0] not in MODES:
            raise ConfigError("CFG-VALUE", f"data.shape: {list(shape)}; the first has to be 1 or 3")
        (images, labels), test = (_read(Path(path), part, image, label, shape) for part in ("train", "test"))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        learn, watch = (Split(images[rows], labels[rows]) for rows in (order[held_out:], order[:held_out]))
        super().__init__(name, shape, learn, watch, Split(*test), classes=classes)


def _read(folder: Path, part: str, image: str, label: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images ``[N, *shape]`` uint8 and labels ``[N]`` int64 of all files of one part."""
    files = sorted(folder.glob(f"{part}-*.parquet"))
    if not files:
        message = f"{folder}: no {part}-*.parquet; set data.path, or SDLAB_DATA to the folder above it"
        raise DataError("DATA-MISSING", message)
    pictures, labels = [], []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for file in files:
            records, classes = _columns(file, image, label)
            decode = partial(_decode, file, shape)
            pictures += list(pool.map(decode, range(len(records)), records))
            labels.append(classes)
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.concatenate(labels)).long()


def _columns(file: Path, image: str, label: str) -> tuple[list[Any], np.ndarray]:
    """Image records and labels of a file."""
    pyarrow, parquet = (extra(name, "parquet", "data") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        table = parquet.read_table(file, columns=[image, label])
        return table[image].to_pylist(), table[label].to_numpy()
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        message = f"{file}: {error}; set data.image and data.label, or fetch it again"
        raise DataError("DATA-PARQUET", message) from error


def _decode(file: Path, shape: tuple[int, ...], row: int, record: Any) -> np.ndarray:
    """One image as ``[channels, height, width]`` uint8."""
    try:
        with Image.open(io.BytesIO(record["bytes"]), formats=FORMATS) as picture:
            pixels = np.asarray(picture.convert(MODES[shape[0]]))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, Image.DecompressionBombError) as error:
        message = f"{file}: row {row} holds no image ({error}); fetch it again"
        raise DataError("DATA-IMAGE", message) from error
    found = pixels.reshape(*pixels.shape[:2], shape[0]).transpose(2, 0, 1)
    if found.shape != tuple(shape):
        sizes = f"row {row} is {list(found.shape)}, data.shape is {list(shape)}"
        raise DataError("DATA-SHAPE", f"{file}: {sizes}; all have to be of one size")
    return found
