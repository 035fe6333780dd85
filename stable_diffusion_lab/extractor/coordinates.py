"""The samples themselves."""

import math
from pathlib import Path

from torch import nn

from stable_diffusion_lab.extractor.base import Extractor, TrainingData
from stable_diffusion_lab.modality.vector import Vector


class Coordinates(Extractor):
    """Features are the coordinates of a vector, in units of their spread.

    Args:
        shape: ``(D,)`` of a sample.
    """

    modality = Vector()

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(nn.Sequential(nn.Flatten()), math.prod(shape))

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Only the unit depends on the data; nothing is kept."""
        points, _ = data.train.some()
        self.calibrate(points)
