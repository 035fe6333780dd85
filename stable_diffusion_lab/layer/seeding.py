"""Seeds that are functions of where they are used."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fold(*parts: int) -> int:
    """Mix integers into one seed in [0, 2^63), e.g. ``fold(seed, epoch)`` or ``fold(seed, step, rank)``.

    The order of the parts matters. The result depends on nothing but the parts: it is the same on every
    machine and in every version of Python and torch.
    """
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generators start from ``seed``; afterwards they are as they were before."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
