"""Boxes anywhere."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.mask import Mask, boxes


class RandomBoxes(Mask):
    """Hides boxes, which may overlap but do not reach beyond the image.

    Args:
        fewest: least number of boxes, drawn for each sample.
        most: greatest.
        lowest: least side of a box, as a share of the image's; height and width are drawn separately for each
            box, and rounded to whole pixels.
        highest: greatest; ``most * highest ** 2`` is the greatest share of an image that can be hidden.

    Raises:
        ConfigError: if ``fewest`` is above ``most``, or ``lowest`` above ``highest``.
    """

    directions = frozenset({2})

    def __init__(self, fewest: PositiveInt, most: PositiveInt, lowest: Fraction, highest: Fraction) -> None:
        self.number = Between(fewest, most, ("fewest", "most"))
        self.side = Between(lowest, highest)
        self.most = most

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        there = torch.arange(self.most) < self.number.whole(rng, n, 1)
        starts, widths = [], []
        for full in size:
            width = (self.side.draw(rng, n, self.most) * full).round().clamp(1, full)
            start = (torch.rand(n, self.most, generator=rng) * (full - width + 1)).floor()
            starts.append(start.to(device, non_blocking=True))
            widths.append((width * there).to(device, non_blocking=True))
        return boxes(starts, widths, size)
