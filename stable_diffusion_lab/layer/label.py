"""Labels as further channels of points."""

from collections.abc import Sequence

import torch
from torch import Tensor


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Classes ``[B, ...]`` int64 as ``[B, ..., classes]`` float32, without waiting for the device."""
    return (label[..., None] == torch.arange(classes, device=label.device)).float()


def fitting(network: str, shape: Sequence[int], conditions: int) -> str:
    """What to say for a network of the config that is to take points of a shape as they come.

    Conditions are among their channels already, wherever these are.
    """
    said = f"{network}.shape={str(list(shape)).replace(' ', '')}"
    return f"{said} {network}.conditions=0" if conditions else said


def channel(shape: Sequence[int]) -> int:
    """Which entry of a point's shape counts channels: C of ``[C, H, W]``, D of ``[L, D]`` and of ``[D]``.

    By the shape alone a waveform ``[C, T]`` is no other thing, and gets its labels behind its end. To what
    compares points that is as good a place as any; what looks for patterns in time puts them elsewhere.
    """
    return 1 if len(shape) == 2 else 0


def with_channels(shape: Sequence[int], more: int) -> tuple[int, ...]:
    """The shape of points that have so many channels more; fewer, if negative."""
    wide = list(shape)
    wide[channel(shape)] += more
    return tuple(wide)


def append(points: Tensor, label: Tensor) -> Tensor:
    """Points ``[B, ...]`` with labels ``[B, K]`` behind their channels, the same at every place."""
    dim = 1 + channel(points.shape[1:])
    rows = label.to(points).view(len(label), *[1] * (points.dim() - 2), -1).transpose(dim, -1)
    places = list(points.shape)
    places[dim] = label.shape[1]
    return torch.cat([points, rows.expand(places)], dim=dim)


def separate(points: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """What ``append`` put together: points ``[B, ...]`` and labels ``[B, classes]``."""
    dim = 1 + channel(points.shape[1:])
    points, planes = points.split([points.shape[dim] - classes, classes], dim=dim)
    return points, planes.transpose(1, dim).flatten(2)[..., 0] if points.dim() > 2 else planes
