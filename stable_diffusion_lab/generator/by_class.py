"""Any generator, told which class to draw."""

from collections.abc import Callable

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.conditional import Conditional
from stable_diffusion_lab.layer.label import one_hot


class ByClass(Conditional):
    """The class before the noise of another generator (Mirza & Osindero 2014), as long as the noise is.

    Args:
        inner: builds that generator, from its ``noise_dim`` and ``shape``.
        noise_dim: width of the noise; the inner generator gets ``classes`` entries more. Where it wants
            further noise by itself, as generators of tokens do, so does this one.
        shape: shape of one output.
        classes: number of classes.

    Raises:
        ConfigError: if there are no classes, or as the inner generator does.
    """

    def __init__(
        self,
        inner: Callable[..., Generator],
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        classes: NonNegativeInt,
    ) -> None:
        built = inner(noise_dim=noise_dim + classes, shape=shape)
        super().__init__(built.noise_dim - classes, shape, classes)
        self.inner = built
        self.length = noise_dim**0.5

    def forward(self, noise: Tensor) -> Tensor:
        label, within = self.split(noise)
        # One entry among many would hardly be heard: the label gets the length that noise has on average.
        told = one_hot(label, self.classes).to(within) * self.length
        return self.inner(torch.cat([told, within], dim=1))
