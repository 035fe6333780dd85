"""What one process of a distributed run learns from the others."""

import torch
from torch import Tensor
from torch import distributed as dist


def gather(x: Tensor) -> Tensor:
    """Rows of all ranks, ``[world * N, ...]`` from ``[N, ...]``; carries no gradient.

    Every rank must hold the same number of rows. A run of one process gets ``x`` back.
    """
    if not dist.is_initialized():
        return x.detach()
    rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, x.detach().contiguous())
    return torch.cat(rows)


def mean_over_ranks(x: Tensor) -> Tensor:
    """Average of a tensor over all ranks; carries no gradient."""
    if not dist.is_initialized():
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def own_rows(x: Tensor, count: int) -> Tensor:
    """The ``count`` rows of this rank in what ``gather`` put together."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    return x[rank * count : (rank + 1) * count]
