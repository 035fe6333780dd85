"""Seeds that are functions of where they are used."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ROWS = 512  # of normal numbers at once; a multiple of 16


def fold(*parts: int) -> int:
    """Mix integers into one seed in [0, 2^63), e.g. ``fold(seed, epoch)`` or ``fold(seed, step, rank)``.

    The order of the parts matters. The result depends on nothing but the parts: it is the same on every
    machine and in every version of Python and torch.
    """
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generators start from ``seed``; afterwards they are as they were before.

    Those of the CPU and of the current GPU: to look at the others would take memory on each.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for _ in devices:
            torch.cuda.manual_seed(seed)
        yield


def normal_rows(n: int, width: int, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """The rows of ``torch.randn(n, width, generator=rng)`` in order, a few hundred at a time; on the CPU.

    torch fills blocks of 16 numbers, and the last 16 anew where they are no whole block.
    """
    while n > 0:
        rows = n if n < 2 * _ROWS else _ROWS
        yield torch.randn(rows, width, generator=rng)
        n -= rows


def regrouped(chunks: Iterator[torch.Tensor], rows: int) -> Iterator[torch.Tensor]:
    """The same rows in the same order, so many at a time; the last may be fewer."""
    held: list[torch.Tensor] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(map(len, held)) >= rows:
            *whole, rest = torch.cat(held).split(rows)
            yield from whole
            held = [rest]
    if held:
        yield torch.cat(held)
