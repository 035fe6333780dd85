"""Samples of any size as overlapping tiles of one size, and back."""

from math import pi, prod
from typing import NamedTuple

import torch
from torch import Tensor


class Axis(NamedTuple):
    """How one axis is cut.

    Attributes:
        places: index along the axis of each place in each tile, ``[tiles, length]``.
        weights: how much the place counts where tiles overlap, 0 in the padding, ``[tiles, length]``.
    """

    places: Tensor
    weights: Tensor


def axis(size: int, length: int, grid: int = 1) -> Axis:
    """Cut ``size`` places into as few tiles as overlap by half of their ``length``, evenly spread.

    Tiles begin at the multiples of ``grid`` next to that, so the last one may end beyond the axis. Weights
    are a raised cosine, which falls smoothly to nearly 0 at both ends. Where the whole axis is shorter than a
    tile it lies in the middle. What is beyond its ends is a reflection (without repeating the border).
    """
    offsets = torch.arange(length)
    grid = min(grid, length)  # a coarser one would leave gaps
    if size <= length:
        before = (length - size) // 2 // grid * grid
        places = offsets - before
        inside = (places >= 0) & (places < size)
        return Axis(_reflect(places, size)[None], inside.float()[None])
    steps = -((length - size) // grid)
    count = -(-2 * steps * grid // length) + 1
    starts = torch.linspace(0, steps, count, dtype=torch.float64).round().long().unique() * grid
    places = starts[:, None] + offsets
    window = torch.sin(pi * (offsets + 0.5) / length).square()
    return Axis(_reflect(places, size), window * (places < size))


def _reflect(places: Tensor, size: int) -> Tensor:
    """Fold indices outside [0, size) back inside, as often as it takes."""
    period = max(1, 2 * (size - 1))
    folded = places % period
    return torch.minimum(folded, period - folded) if size > 1 else torch.zeros_like(places)


class Tiles:
    """Cuts whole samples ``[M, C, *size]`` into tiles ``[B, C, *shape]``, which have numbers.

    Args:
        size: of the whole samples along their axes.
        shape: of a tile along the same axes.
        layers: number M of samples; tiles of the first are numbered first.
        grid: tiles begin at multiples of it, along every axis.
    """

    def __init__(self, size: tuple[int, ...], shape: tuple[int, ...], layers: int = 1, grid: int = 1) -> None:
        self.size = tuple(size)
        self.shape = tuple(shape)
        self.axes = [axis(s, length, grid) for s, length in zip(size, shape, strict=True)]
        self.each = prod(len(one.places) for one in self.axes)
        self.layers = layers

    def __len__(self) -> int:
        return self.layers * self.each

    def cut(self, whole: Tensor, which: Tensor) -> Tensor:
        """Tiles ``[B, C, *shape]`` with the numbers ``which``, ``[B]``, of ``[M, C, *size]``."""
        layer, places, _ = self.find(which)
        taken = whole.flatten(2)[layer[:, None], :, places]
        return taken.transpose(1, 2).unflatten(2, self.shape)

    def find(self, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Layer ``[B]`` of tiles, and index and weight of their places, ``[B, prod(shape)]``."""
        layer, rest = which // self.each, which % self.each
        places = torch.zeros(len(which), 1, dtype=torch.long)
        weights = torch.ones(len(which), 1)
        left = self.each
        for one, size in zip(self.axes, self.size, strict=True):
            left //= len(one.places)
            tile, rest = rest // left, rest % left
            places = (places[:, :, None] * size + one.places[tile][:, None]).flatten(1)
            weights = (weights[:, :, None] * one.weights[tile][:, None]).flatten(1)
        return layer, places, weights


class Blend:
    """Puts tiles together again: a mean of those that overlap, weighted by how near their middle is.

    Args:
        tiles: how they were cut.
        n: number of wholes to put together.
        channels: of each.
    """

    def __init__(self, tiles: Tiles, n: int, channels: int) -> None:
        self.tiles = tiles
        self.places = prod(tiles.size)
        self.total = torch.zeros(n, channels, tiles.layers * self.places)
        self.weight = torch.zeros(tiles.layers * self.places)

    def add(self, parts: Tensor, which: Tensor) -> None:
        """Add tiles ``[B, n, C, *shape]`` with the numbers ``which``, ``[B]``."""
        layer, places, weights = self.tiles.find(which)
        where = (layer[:, None] * self.places + places).flatten()
        weighted = parts.flatten(3) * weights[:, None, None]
        self.total.index_add_(2, where, weighted.permute(1, 2, 0, 3).flatten(2))
        self.weight.index_add_(0, where, weights.flatten())

    def there(self) -> Tensor:
        """1 where a tile was added, 0 elsewhere, ``[M, 1, *size]``."""
        return (self.weight > 0).float().view(self.tiles.layers, 1, *self.tiles.size)

    def result(self) -> Tensor:
        """Wholes ``[n, M, C, *size]``; 0 where no tile was added."""
        mean = self.total / torch.where(self.weight > 0, self.weight, 1)
        return mean.unflatten(2, (self.tiles.layers, *self.tiles.size)).transpose(1, 2)
