"""Where texts end."""

from torch import Tensor

END = 0  # the token that ends a text, and fills what is after it


def alive(ends: Tensor) -> Tensor:
    """Which places of texts count, those up to the first end, ``[B, L]`` bool.

    Args:
        ends: ``[B, L]``, 1 where there is an end and 0 elsewhere.
    """
    ends = (ends.detach() > 0.5).long()
    return ends.cumsum(dim=1) == ends  # of floats, a GPU has no deterministic cumsum
