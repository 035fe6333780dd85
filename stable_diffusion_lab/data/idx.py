"""The IDX file format of MNIST and its relatives."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stable_diffusion_lab.error import DataError

UNSIGNED_BYTE = 0x08
SIZE_LIMIT = 2**31


def read_idx(path: Path) -> Tensor:
    """Read a uint8 IDX file, compressed if its name ends in ``.gz``.

    The header is two zero bytes, the element type, the number of dimensions, then each dimension as a
    big-endian 32-bit integer. It is checked against the content before anything is believed.

    Raises:
        DataError: if the file is unreadable, no uint8 IDX file, cut short or too long, naming it.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            magic = stream.read(4)
            if magic[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(magic) < 4:
                raise DataError("DATA-IDX", f"{path}: not an IDX file of unsigned bytes; fetch it again")
            dimensions = np.frombuffer(stream.read(4 * magic[3]), dtype=">u4").tolist()
            size = math.prod(dimensions)
            if len(dimensions) != magic[3] or size > SIZE_LIMIT:
                raise DataError("DATA-IDX", f"{path}: header asks for {dimensions}; fetch it again")
            content = stream.read(size + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError("DATA-IDX", f"{path}: {error}; fetch it again") from error
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise DataError("DATA-IDX", f"{path}: {found} of {size} bytes after the header; fetch it again")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(dimensions).copy())
