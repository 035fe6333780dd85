"""Completions of a file of any size by a pair with samples of one size."""

from typing import NamedTuple

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.base import Opened
from stable_diffusion_lab.file.tiles import Blend, Tiles
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.seeding import fold, seeded
from stable_diffusion_lab.training.log_likelihood import log_likelihood

_DRAWS = 16  # of the posterior, for each completion's likelihood


class Completed(NamedTuple):
    """Completions of one file, the most probable refinement first.

    Attributes:
        damaged: what was observed, 0 where nothing was, ``[M, C, *size]`` in [-1, 1].
        exact: 1 where that is known exactly and in all completions, ``[M, 1, *size]``.
        draft: ``[n, M, C, *size]``.
        refined: what became of each draft, ``[n, M, C, *size]``.
        scores: evidence lower bound of each refinement in nats per dimension, ``[n]``, the mean over the
            tiles that were not known exactly.
    """

    damaged: Tensor
    exact: Tensor
    draft: Tensor
    refined: Tensor
    scores: Tensor


def complete(pair: Pair, opened: Opened, n: int, seed: int, batch_size: int) -> Completed:
    """Restore a file tile by tile, as many at once as ``batch_size`` says, and blend what overlaps.

    Tiles that are known exactly are not touched. A hole larger than a tile is filled from its edges inwards,
    in rounds: tiles of which little is known wait for what is made of their neighbours. With what was
    observed the blend agrees as a whole.

    Raises:
        DataError: if there is nothing to restore, or nothing to go by.
    """
    observed = pair.task.describe(opened.whole, opened.seen)
    damaged, _, exact = observed
    if not opened.seen.any():
        raise DataError("DATA-MASK", f"{opened.path}: everything is lost; leave something to go by")
    if exact.all():
        what = f"nothing is lost, so there is nothing to restore; say {opened.masks}"
        raise DataError("DATA-MASK", f"{opened.path}: {what}")
    layers, channels, *size = damaged.shape
    tiles = Tiles(tuple(size), pair.refiner.shape[1:], layers, pair.task.grid)
    batches = unknown(tiles, exact, batch_size)
    drafts, refined = (Blend(tiles, n, channels) for _ in range(2))
    wholes, seen = damaged[None], opened.seen
    rest = torch.cat(batches)
    while len(rest):
        now, rest = ready(tiles, seen, rest, batch_size)
        for which in now.split(batch_size):
            found = fill(pair, tiles, wholes, seen, which, n, fold(seed, *which[:1].tolist()))
            drafts.add(found.draft, which)
            refined.add(found.refined, which)
        if len(rest):
            wholes = torch.where(opened.seen > 0, damaged, refined.result())
            seen = torch.maximum(opened.seen, refined.there())
    draft, end = (
        torch.stack([pair.task.settle(each, observed) for each in blend.result()])
        for blend in (drafts, refined)
    )
    scores = evidence(pair, tiles, end, batches, seed)
    order = scores.argsort(descending=True, stable=True)
    return Completed(damaged, exact, draft[order], end[order], scores[order])


def unknown(tiles: Tiles, exact: Tensor, batch_size: int) -> list[Tensor]:
    """Numbers of the tiles in which not everything is known exactly, ``batch_size`` at a time."""
    numbers = torch.arange(len(tiles)).split(batch_size)
    found = [which[(tiles.cut(exact, which) == 0).flatten(1).any(dim=1)] for which in numbers]
    return list(torch.cat(found).split(batch_size))


def ready(tiles: Tiles, seen: Tensor, rest: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Which tiles of the ``rest``, ``[K]``, can be filled now, and which have to wait.

    Those of which a quarter is seen, as a neighbour across a corner leaves, or half as much as of any other.
    """
    share = torch.cat([tiles.cut(seen, which).flatten(1).mean(dim=1) for which in rest.split(batch_size)])
    now = share >= min(0.25, share.max().item() / 2)
    return rest[now], rest[~now]


def fill(pair: Pair, tiles: Tiles, wholes: Tensor, seen: Tensor, which: Tensor, n: int, seed: int) -> Sample:
    """Completions ``[B, n, C, *shape]`` of tiles ``[B]``.

    Args:
        wholes: one that all are of, ``[1, M, C, *size]``, or one for each, ``[n, M, C, *size]``.
        seen: where they are to be trusted, ``[M, 1, *size]``.
    """
    mask = tiles.cut(seen, which)
    found = [
        pair.restore(tiles.cut(whole, which), mask, n // len(wholes), fold(seed, rank))
        for rank, whole in enumerate(wholes)
    ]
    return Sample(*(torch.cat(stage, dim=1).cpu() for stage in zip(*found, strict=True)))


@torch.no_grad()
def evidence(pair: Pair, tiles: Tiles, refined: Tensor, batches: list[Tensor], seed: int) -> Tensor:
    """How probable the refiner finds each of ``[n, M, C, *size]``: ELBO in nats per dimension, ``[n]``."""
    total = torch.zeros(len(refined))
    for rank, each in enumerate(refined):
        with seeded(fold(seed)):  # the same draws for all of them, so that it is they that differ
            for which in batches:
                parts = tiles.cut(each, which).to(pair.device)
                total[rank] += log_likelihood(pair.refiner, parts, _DRAWS).elbo.sum().cpu()
    return total / sum(map(len, batches))
