"""Matrices over all pairs of points, a block of rows at a time: what is held does not grow with N x M."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce

import torch
from torch import Tensor

BLOCK = 2**18  # elements of a block on the CPU: it stays in the cache, and its memory is soon used again
WIDE_BLOCK = 2**24  # elsewhere, where starting a kernel costs what a million elements do
LEAST_ROWS = 64  # of a block, below which a matrix product is slow
HELD = 2**26  # elements of a matrix that are held rather than made again for each pass, 256 MiB in float32


def row_blocks(x: Tensor, width: int) -> list[slice]:
    """Rows of ``x`` ``[N, ...]`` for each block of a matrix ``[N, width]``; one block if it is small."""
    most = BLOCK if x.device.type == "cpu" else WIDE_BLOCK
    height = max(LEAST_ROWS, most // width)
    return [slice(start, min(start + height, len(x))) for start in range(0, len(x), height)]


class Blocks:
    """A matrix ``[N, M]`` in blocks of rows, for more than one pass; carries no gradient.

    Blocks are held from the first pass on as long as there is room (``HELD``); the rest are made again in
    each pass.

    Args:
        rows: of each block.
        make: the block ``[n, M]`` of some rows.
    """

    def __init__(self, rows: list[slice], make: Callable[[slice], Tensor]) -> None:
        self.rows = rows
        self.make = make
        self.held: dict[int, Tensor] = {}
        self.room = HELD

    def __iter__(self) -> Iterator[Tensor]:
        for rows in self.rows:
            yield self.held[rows.start] if rows.start in self.held else self.made(rows)

    def made(self, rows: slice) -> Tensor:
        block = self.make(rows)
        if block.numel() <= self.room:
            self.held[rows.start] = block
            self.room -= block.numel()
        return block

    def apply_(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change all blocks from here on, in place."""
        make = self.make
        self.make = lambda rows: change(make(rows))
        for block in self.held.values():
            change(block)


def log_column_sums(logits: Iterable[Tensor]) -> Tensor:
    """log sum_i exp(logits_ij) ``[..., M]`` of a matrix in blocks of rows ``[..., n, M]``."""
    return reduce(torch.logaddexp, (block.logsumexp(-2) for block in logits))


def sum_over_rows(x: Tensor, width: int, part: Callable[[Tensor], Tensor]) -> Tensor:
    """The sum of ``part`` over blocks of the rows of ``x``, a scalar with its gradient for ``x``.

    The gradient is found along with the value, so only one block's graph is there at a time. Whatever else
    ``part`` depends on is a constant, and there is no second derivative.

    Args:
        x: ``[N, ...]``, at least float32.
        width: how many elements ``part`` makes of a row.
        part: a scalar for some of the rows, ``[n, ...]``.
    """
    values: list[Tensor] = []
    slopes: list[Tensor] = []
    for rows in row_blocks(x, width):
        block = x[rows].detach().requires_grad_(x.requires_grad)
        with torch.enable_grad():
            value = part(block)
        if x.requires_grad:
            slopes += torch.autograd.grad(value, block)
        values.append(value.detach())
    total = torch.stack(values).sum()
    return total + ((x - x.detach()) * torch.cat(slopes)).sum() if slopes else total
