"""What one process of a distributed run learns from the others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional


def gather(x: Tensor) -> Tensor:
    """Rows of all ranks, ``[world * N, ...]`` from ``[N, ...]``; carries no gradient.

    Every rank must hold the same number of rows. A run of one process gets ``x`` back.
    """
    if not dist.is_initialized():
        return x.detach()
    rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, x.detach().contiguous())
    return torch.cat(rows)


def gather_live(x: Tensor) -> Tensor:
    """Rows of all ranks, ``[world * N, ...]`` from ``[N, ...]``; this rank's carry its gradient.

    It is scaled by the number of ranks, so that a loss that each rank computes from all rows has, once DDP
    has averaged, the gradient that one process would find.
    """
    if not dist.is_initialized():
        return x
    everyone, n = gather(x), len(x)
    start, world = dist.get_rank() * n, dist.get_world_size()
    own = x.detach() + world * (x - x.detach())
    return torch.cat([everyone[:start], own, everyone[start + n :]])


def strided_rows(x: Tensor) -> Tensor:
    """This rank's share of rows that all ranks hold: every ``world``-th, as many for each rank."""
    if not dist.is_initialized():
        return x
    world = dist.get_world_size()
    return x[: len(x) // world * world][dist.get_rank() :: world]


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


def same_on_all_ranks(x: Tensor) -> Tensor:
    """What rank 0 has for ``x``, on every rank; carries no gradient."""
    x = x.detach().clone()
    if dist.is_initialized():
        dist.broadcast(x, src=0)
    return x


def collect(features: Tensor, n: int, world: int) -> Tensor:
    """Put rows ``rank, rank + world, ...`` of all processes back in order, ``[n, D]`` in each process."""
    if world == 1:
        return features
    rows = -(-n // world)
    padded = functional.pad(features, (0, 0, 0, rows - len(features)))
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[:n]


def share_out(
    jobs: Sequence[Callable[[], dict[str, float]]], rank: int, world: int
) -> list[dict[str, float]]:
    """Results of all jobs in each process, which itself does every ``world``-th.

    Raises:
        Exception: the first that a job raises, in each process.
    """
    done: list[dict[str, float] | Exception] = []
    for job in jobs[rank::world]:
        try:
            done.append(job())
        except Exception as error:  # the others must not wait for ever
            done.append(error)
    everyone = [done] * world
    if world > 1:
        dist.all_gather_object(everyone, done)
    results = []
    for i in range(len(jobs)):
        result = everyone[i % world][i // world]
        if isinstance(result, Exception):
            raise result
        results.append(result)
    return results
