"""Averages over neighbouring places of a map."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d


def pooled(x: Tensor, side: int) -> Tensor:
    """Maps ``[B, C, H, W]`` averaged down to ``[B, C, min(side, H), min(side, W)]``.

    Adaptive average pooling as two matrix products: the gradient of torch's own is refused on a GPU where
    ``deterministic`` is on.
    """
    rows, columns = (averages(length, min(side, length), x) for length in x.shape[2:])
    return rows.mT @ x @ columns


def averages(length: int, bins: int, like: Tensor) -> Tensor:
    """Matrix ``[length, bins]`` whose columns are the weights of one average each."""
    return adaptive_avg_pool1d(torch.eye(length, dtype=like.dtype, device=like.device), bins)
