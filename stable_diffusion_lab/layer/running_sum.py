"""Sums so far."""

from torch import Tensor
from torch.nn import functional


def running_sum(x: Tensor) -> Tensor:
    """``x.cumsum(-1)`` of ``[..., N]``, in log N additions of all of it (Hillis & Steele 1986).

    torch's own, and its gradient, are refused on a GPU where ``deterministic`` is on.
    """
    reach = 1
    while reach < x.shape[-1]:
        x = x + functional.pad(x, (reach, 0))[..., :-reach]
        reach *= 2
    return x
