"""Gaussians on a circle."""

import math
from typing import Literal

import torch

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.data.density.modes import Modes


class Ring(Modes):
    """Equal Gaussians at equal distances on a circle: modes are lost, or joined, where one can see it.

    Args:
        dim: 2.
        components: number of Gaussians; the first lies on the positive first axis.
        radius: of the circle.
        scale: standard deviation of each Gaussian along each coordinate.
    """

    def __init__(
        self,
        dim: Literal[2] = 2,
        components: PositiveInt = 8,
        radius: PositiveFloat = 0.75,
        scale: PositiveFloat = 0.04,
    ) -> None:
        angles = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
        super().__init__(radius * torch.stack([angles.cos(), angles.sin()], dim=1), scale)
