"""Packets that did not arrive."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.mask import Mask, boxes


class DroppedSegments(Mask):
    """Hides segments of a waveform, equally long, that do not overlap.

    Args:
        fewest: least number of segments, drawn for each sample.
        most: greatest.
        lowest: least share of a waveform that all of them hide together, drawn for each sample; each segment
            is rounded to whole values, one at least.
        highest: greatest.

    Raises:
        ConfigError: if ``fewest`` is above ``most`` or ``lowest`` above ``highest``, or a waveform is shorter
            than ``most``.
    """

    directions = frozenset({1})

    def __init__(self, fewest: PositiveInt, most: PositiveInt, lowest: Fraction, highest: Fraction) -> None:
        self.number = Between(fewest, most, ("fewest", "most"))
        self.share = Between(lowest, highest)
        self.most = most

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        (length,) = size
        if length < self.most:
            raise self.unfit(torch.empty(n, 1, length), f"drops up to {self.most} segments")
        number = self.number.whole(rng, n, 1)
        there = torch.arange(self.most) < number
        each = (self.share.draw(rng, n, 1) * length / number).round()
        width = torch.minimum(each.clamp_min(1), length // number) * there
        # Positions in what is not hidden, in order, and the segments before each put back between them.
        place = torch.rand(n, self.most, generator=rng).where(there, 1.0).sort(dim=1).values
        gap = length - width.sum(dim=1, keepdim=True)
        start = (place * (gap + 1)).floor() + width.cumsum(dim=1) - width
        return boxes([start.to(device, non_blocking=True)], [width.to(device, non_blocking=True)], size)
