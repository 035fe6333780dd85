"""Precision for what half of it cannot tell apart."""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """``x`` in float32 at least: differences of near points, and means over many, need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
