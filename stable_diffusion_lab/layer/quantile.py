"""A choice and a standard normal number out of one standard normal number, and back."""

import torch
from torch import Tensor

_EDGE = 1e-6  # share of a range at each end that ``place`` avoids: rounding must not carry a number across


def pick(normal: Tensor, cumulative: Tensor) -> tuple[Tensor, Tensor]:
    """Split standard normals into a choice and standard normals independent of it.

    The quantile range that a number falls into is the choice, and where in the range it falls is uniform.

    Args:
        normal: ``[B]``.
        cumulative: increasing probabilities ``[K]``, the last one 1.

    Returns:
        Choices ``[B]`` int64 from 0 to K - 1, and standard normals ``[B]``.
    """
    uniform, cumulative = torch.special.ndtr(normal.double()), cumulative.double()
    choice = torch.searchsorted(cumulative, uniform).clamp(max=len(cumulative) - 1)
    share = (uniform - cumulative[choice]) / _widths(cumulative)[choice] + 1
    return choice, torch.special.ndtri(share.clamp(1e-9, 1 - 1e-9)).to(normal.dtype)


def place(normal: Tensor, choice: Tensor, cumulative: Tensor) -> Tensor:
    """The inverse of ``pick``: numbers ``[B]`` that it splits into ``choice`` and ``normal``."""
    share, cumulative = torch.special.ndtr(normal.double()).clamp(_EDGE, 1 - _EDGE), cumulative.double()
    uniform = cumulative[choice] + (share - 1) * _widths(cumulative)[choice]
    return torch.special.ndtri(uniform).to(normal.dtype)


def _widths(cumulative: Tensor) -> Tensor:
    return torch.diff(cumulative, prepend=cumulative.new_zeros(1))
