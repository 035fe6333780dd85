"""Some of many, from the first to the last."""

import torch
from torch import Tensor


def spaced(total: int, count: int) -> slice | Tensor:
    """Numbers ``[count]`` below ``total``, evenly spaced from 0; a slice, which copies nothing, if all."""
    return slice(None) if count >= total else torch.arange(count) * total // count
