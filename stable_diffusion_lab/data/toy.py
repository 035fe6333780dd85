"""Draws from a distribution that is known exactly."""

import torch

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Seed
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.density.base import Density
from stable_diffusion_lab.modality.vector import Vector
from stable_diffusion_lab.seeding import fold


class Toy(Data):
    """Three independent sets of points. Labels are the density's components, where it has several.

    Args:
        density: what is drawn from; kept, so that samples can be held against the truth.
        shape: ``(D,)``.
        name: short name for logs and folders.
        train: number of points to learn from.
        validation: number of points that are watched during training.
        test: number of points that are reported on.
        seed: of the points.
        classes: number of the components, where labels are to be of use; 0 otherwise.
    """

    modality = Vector()

    def __init__(
        self,
        density: Density,
        shape: tuple[int, ...],
        name: str = "toy",
        train: PositiveInt = 20_000,
        validation: PositiveInt = 4_000,
        test: PositiveInt = 4_000,
        seed: Seed = 0,
        classes: NonNegativeInt = 0,
    ) -> None:
        self.density = density
        streams = (torch.Generator().manual_seed(fold(seed, part)) for part in range(3))
        draws = zip((train, validation, test), streams, strict=True)
        parts = (Split(*density.draw(n, rng)) for n, rng in draws)
        super().__init__(name, shape, *parts, classes=classes)
