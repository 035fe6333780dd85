"""Rounding and drawing that let gradients pass (Bengio et al. 2013, section 4)."""

import torch
from torch import Tensor

from stable_diffusion_lab.layer.label import one_hot

_EDGE = 1e-6  # keeps logarithms finite where the normal distribution function rounds to 0 or 1


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers, exactly; the gradient is that of ``x``."""
    return x.detach().round() + (x - x.detach())


def most_probable(x: Tensor) -> Tensor:
    """One-hot of the most probable classes of ``[..., K]``, exactly; the gradient is that of ``x``."""
    hard = one_hot(x.argmax(dim=-1), x.shape[-1]).to(x)
    return hard + (x - x.detach()) if x.requires_grad else hard


def gumbel(normal: Tensor) -> Tensor:
    """Standard Gumbel numbers of standard normal ones, by their quantiles."""
    uniform = torch.special.ndtr(normal).clamp(_EDGE, 1 - _EDGE)
    return -(-uniform.log()).log()
