"""Some of many, from the first to the last."""

import torch
from torch import Tensor


def spaced(total: int, count: int) -> slice | Tensor:
    """Numbers ``[count]`` below ``total``, evenly spaced from 0; a slice, which copies nothing, if all."""
    return slice(None) if count >= total else nth_spaced(torch.arange(count), total, count)


def nth_spaced(n: Tensor, total: int, count: int) -> Tensor:
    """The same, those that come at places ``n`` below ``count``."""
    return n * total // count
