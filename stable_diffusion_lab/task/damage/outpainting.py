"""What lies beyond the edges."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.mask import Mask, boxes

EDGES = (("top", "bottom"), ("left", "right"))  # at either end of each direction


class Outpainting(Mask):
    """Hides margins along some edges: around a window, or on one side only.

    A waveform has a left edge, where it begins, and a right one, where it ends.

    Args:
        edges: where something is hidden: ``"top"``, ``"bottom"``, ``"left"``, ``"right"``.
        lowest: least width of a margin as a share of the sample's side, drawn for each sample and edge.
        highest: greatest; below a half if opposite edges are hidden.

    Raises:
        ConfigError: if there is no such edge, ``lowest`` is above ``highest``, margins can hide everything,
            or a waveform is to have a top or bottom.
    """

    def __init__(
        self,
        edges: Sequence[Literal["top", "bottom", "left", "right"]],
        lowest: Fraction,
        highest: Fraction,
    ) -> None:
        known = [edge for pair in EDGES for edge in pair]
        unknown = [edge for edge in edges if edge not in known]
        if unknown or not edges:
            raise ConfigError("CFG-VALUE", f"damage edges: {unknown or 'none'}; choose from {known}")
        opposite = any(set(pair) <= set(edges) for pair in EDGES)
        if highest >= (0.5 if opposite else 1.0):
            message = f"damage highest: {highest} leaves nothing to see; it has to be below "
            raise ConfigError("CFG-VALUE", message + ("0.5, for two edges are opposite" if opposite else "1"))
        self.edges = frozenset(edges)
        self.width = Between(lowest, highest)

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        if len(size) == 1 and not self.edges <= {"left", "right"}:
            raise self.unfit(torch.empty(n, 1, *size), "has edges above and below; say edges=[right]")
        starts, widths = [], []
        for full, pair in zip(size, EDGES[-len(size) :], strict=True):
            margins = self.width.draw(rng, n, 2) * torch.tensor([float(edge in self.edges) for edge in pair])
            before, after = (margins * full).round().to(device, non_blocking=True).split(1, dim=1)
            starts.append(before)
            widths.append(full - before - after)
        return ~boxes(starts, widths, size)
