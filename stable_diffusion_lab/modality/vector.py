"""Vectors: points of D coordinates, as they are."""

from collections.abc import Iterable

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.base import Modality

EDGE = 1.2  # the picture shows [-EDGE, EDGE] along both axes
BINS = 96
ENLARGED = 4


class Vector(Modality):
    """``[N, D]`` float32, stored unchanged. Data sets keep them within about [-1, 1]."""

    noun = "vectors"
    entry = "coordinate"
    crowd = 10_000
    suffix = ""

    def to_sample(self, stored: Tensor) -> Tensor:
        return stored.float()

    def to_stored(self, sample: Tensor) -> Tensor:
        return sample.float()

    def array(self, stored: Tensor) -> numpy.ndarray:
        """N x D float32."""
        return stored.numpy()

    def panel(self, stored: Tensor) -> Image.Image:
        """How many points lie where, on a logarithmic scale from black (none) to white (most).

        Shows the first two coordinates, the second upwards; a point outside counts at the border.
        """
        points = functional.pad(stored, (0, 1))[:, :2]  # of one coordinate: a line
        column, row = ((points / EDGE + 1) * (BINS / 2)).long().clamp(0, BINS - 1).T
        counts = torch.bincount(row * BINS + column, minlength=BINS**2).view(BINS, BINS).flip(0)
        grey = 255 * counts.log1p() / counts.max().log1p()
        picture = Image.fromarray(grey.round().to(torch.uint8).numpy())
        return picture.resize((BINS * ENLARGED, BINS * ENLARGED), Image.Resampling.NEAREST)

    def files(self, stored: Tensor) -> Iterable[bytes]:
        raise ConfigError("CFG-VALUE", "out: a vector is no picture; say samples.npz or grid.png")
