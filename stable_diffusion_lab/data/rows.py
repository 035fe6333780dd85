"""Samples that are stretches of something longer, such as windows onto a text."""

import torch
from torch import Tensor


class Rows:
    """Samples ``[N, L]``, each made when it is asked for: there may be more of them than memory holds.

    Indexed along the first dimension as a tensor is, and gives tensors.

    Args:
        entries: of all samples, ``[n]``.
        starts: where among them each sample begins, ``[N]`` int64.
        length: entries of a sample L.
    """

    def __init__(self, entries: Tensor, starts: Tensor, length: int) -> None:
        self.starts = starts
        short = len(entries) < length
        self.stretches = entries.new_empty(0, length) if short else entries.unfold(0, length, 1)
        self.shape = torch.Size((len(starts), length))
        self.dtype = entries.dtype

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        return self.stretches[self.starts[chosen]]
