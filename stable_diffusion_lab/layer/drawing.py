"""Drawing one of several, as a function of noise."""

import torch
from torch import Tensor

from stable_diffusion_lab.layer.label import one_hot


def uniform(noise: Tensor) -> Tensor:
    """Numbers in [0, 1] of standard normal ones, in double precision."""
    return torch.special.ndtr(noise.double())


def drawn(weights: Tensor, chance: Tensor) -> Tensor:
    """One-hot tokens ``[B, V]`` as frequent as their weights ``[B, V]``, by uniform numbers ``[B]``.

    By the inverse of the distribution function.
    """
    # Whole numbers: of floats, a GPU has no deterministic cumsum.
    below = (weights * 2**30).round().long().cumsum(dim=-1)
    passed = below < chance[:, None] * below[:, -1:]
    return one_hot(passed.sum(dim=-1).clamp_max(weights.shape[-1] - 1), weights.shape[-1]).to(weights)


def kept(token: Tensor, p: Tensor, q: Tensor, chance: Tensor) -> Tensor:
    """Tokens ``[B, V]`` that q draws, equal to given ones that p drew as often as can be.

    A token stays with probability min(1, q / p); else another is drawn from what q has more than p. That is
    the maximal coupling of the two, by which speculative decoding accepts a draft (Leviathan et al. 2023,
    algorithm 1).

    Args:
        token: the given ones, one-hot ``[B, V]``.
        p: what they were drawn from, ``[B, V]``.
        q: what is drawn from, ``[B, V]``.
        chance: uniform numbers ``[B]``, independent of the given tokens.
    """
    smallest = torch.finfo(p.dtype).tiny
    stays = ((q * token).sum(dim=-1) / (p * token).sum(dim=-1).clamp_min(smallest)).clamp_max(1)
    more = (q - p).clamp_min(0)
    other = drawn(
        more / more.sum(dim=-1, keepdim=True).clamp_min(smallest),
        (chance - stays) / (1 - stays).clamp_min(smallest),
    )
    return torch.where((chance < stays)[:, None], token, other)


def truncated(p: Tensor, min_p: float) -> Tensor:
    """Probabilities ``[..., V]`` without those below a share of the largest, which is not cut.

    What a model gives to all that it has not ruled out is most of what goes wrong in a draw (Hewitt et al.
    2022); relative to the largest: min-p (Nguyen et al. 2025).
    """
    left = p * (p >= min_p * p.amax(dim=-1, keepdim=True))
    return left / left.sum(dim=-1, keepdim=True)
