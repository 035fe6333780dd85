"""Nearest neighbours among feature vectors, in bounded memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**22  # distances held at a time, 32 MiB


def distances(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances from ``[N, D]`` to ``[M, D]``: some rows, and their distances ``[n, M]``.

    Each is summed directly. The faster expansion |a|^2 + |b|^2 - 2ab leaves a remainder where vectors
    are equal, and equal vectors decide what a repeated sample scores.
    """
    height = max(1, CHUNK_ELEMENTS // len(columns))
    for start in range(0, len(rows), height):
        chunk = slice(start, start + height)
        yield chunk, torch.cdist(rows[chunk], columns, compute_mode="donot_use_mm_for_euclid_dist")


def radii(points: Tensor, k: int) -> Tensor:
    """Distance from each point to its k-th nearest neighbour among the others, ``[N]``."""
    # A point's own distance of zero is the smallest, so the k-th of the others is number k + 1.
    return torch.cat([near.kthvalue(k + 1, dim=1).values for _, near in distances(points, points)])
