"""Differentiable augmentation of a fixed strength."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from stable_diffusion_lab.layer.resample import resample
from stable_diffusion_lab.objective.augment.image import ImageAugment


def color(x: Tensor) -> Tensor:
    """Brightness, saturation and contrast of each image ``[B, C, H, W]``; one channel has no saturation."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
    x = x + brightness - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (x - mean)


def translation(x: Tensor) -> Tensor:
    """Shift each image ``[B, C, H, W]`` by up to an eighth of its sides; what comes in is 0."""
    rows, columns = [_pixels(x, side) - _shift(x, side) for side in x.shape[2:]]
    return resample(x, rows, columns)


def cutout(x: Tensor) -> Tensor:
    """Set a rectangle of half the sides of each image ``[B, C, H, W]`` to 0; it may hang over the edge."""
    rows, columns = [_cut(x, side) for side in x.shape[2:]]
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _pixels(x: Tensor, side: int) -> Tensor:
    return torch.arange(side, dtype=torch.float32, device=x.device)


def _shift(x: Tensor, side: int) -> Tensor:
    """Whole pixels, one number per image, ``[B, 1]``."""
    reach = int(side / 8 + 0.5)
    return torch.randint(-reach, reach + 1, (len(x), 1), device=x.device)


def _cut(x: Tensor, side: int) -> Tensor:
    """Which pixels along a side fall to the cut, ``[B, side]``."""
    size = int(side / 2 + 0.5)
    start = torch.randint(side + 1 - size % 2, (len(x), 1), device=x.device) - size // 2
    return (_pixels(x, side) >= start) & (_pixels(x, side) < start + size)


POLICIES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


class DiffAugment(ImageAugment):
    """Random transformations of real and generated images, always on (Zhao et al. 2020).

    Args:
        policies: what to do, in this order.
    """

    def __init__(
        self,
        policies: Sequence[Literal["color", "translation", "cutout"]] = ("color", "translation", "cutout"),
    ) -> None:
        super().__init__()
        self.policies = [POLICIES[policy] for policy in policies]

    def transform(self, x: Tensor) -> Tensor:
        for policy in self.policies:
            x = policy(x)
        return x
