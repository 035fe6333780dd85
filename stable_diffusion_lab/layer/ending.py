"""Where texts end."""

import torch
from torch import Tensor

from stable_diffusion_lab.layer.label import one_hot

END = 0  # the token that ends a text, and fills what is after it


def alive(ends: Tensor) -> Tensor:
    """Which places of texts count, those up to the first end, ``[B, L]`` bool.

    Args:
        ends: ``[B, L]``, 1 where there is an end and 0 elsewhere.
    """
    ends = (ends.detach() > 0.5).long()
    return ends.cumsum(dim=1) == ends  # of floats, a GPU has no deterministic cumsum


def ended(x: Tensor) -> Tensor:
    """Texts ``[B, L, V]`` with nothing but ends after the first end."""
    end = one_hot(torch.full((), END, device=x.device), x.shape[-1]).to(x)
    return torch.where(alive(x[..., END])[..., None], x, end)
