"""Drawing one of several, as a function of noise."""

import torch
from torch import Tensor

from stable_diffusion_lab.layer.label import one_hot


def uniform(noise: Tensor) -> Tensor:
    """Numbers in [0, 1] of standard normal ones, in double precision."""
    return torch.special.ndtr(noise.double())


def drawn(p: Tensor, chance: Tensor) -> Tensor:
    """One-hot tokens ``[B, V]`` from probabilities ``[B, V]``, by the inverse of the distribution function.

    Args:
        p: of each token; what is below 2^-31 is never drawn. What is not a number stays so.
        chance: uniform numbers in [0, 1], ``[B]``.
    """
    # Whole numbers: of floats, a GPU has no deterministic cumsum.
    below = (p * 2**30).round().long().cumsum(dim=-1)
    place = (chance[:, None] * below[:, -1:]).clamp_min(0.5)  # a chance of 0 is not for the impossible
    passed = (below < place).sum(dim=-1).clamp_max(p.shape[-1] - 1)
    return one_hot(passed, p.shape[-1]).to(p) + 0 * p.sum(dim=-1, keepdim=True)


def coupled(token: Tensor, p: Tensor, q: Tensor, chance: Tensor) -> Tensor:
    """Tokens ``[B, V]`` drawn from q that are, as often as can be, those that were drawn from p.

    A token stays with probability min(1, q / p); else another is drawn from what q has more than p. That is
    the maximal coupling of the two, by which speculative decoding accepts a draft (Leviathan et al. 2023,
    algorithm 1).

    Args:
        token: what was drawn from p, one-hot ``[B, V]``. Where it came from elsewhere, what is drawn need not
            be distributed as q, but is nothing that is impossible under q.
        p: probabilities ``[B, V]``.
        q: probabilities ``[B, V]``.
        chance: uniform numbers in [0, 1] that are independent of the given tokens, ``[B]``.
    """
    smallest = torch.finfo(p.dtype).tiny
    stays = ((q * token).sum(dim=-1) / (p * token).sum(dim=-1).clamp_min(smallest)).clamp_max(1)
    more = (q - p).clamp_min(0)
    total = more.sum(dim=-1, keepdim=True)
    other = torch.where(total > 0, more / total.clamp_min(smallest), q)
    again = drawn(other, (chance - stays) / (1 - stays).clamp_min(smallest))
    return torch.where((chance < stays)[:, None], token, again)


def truncated(p: Tensor, min_p: float) -> Tensor:
    """Probabilities ``[..., V]`` without those below a share ``min_p`` of the largest.

    Most of what goes wrong in a draw comes from the many tokens that a model gives a little probability each
    (Hewitt et al. 2022); relative to the largest it is min-p (Nguyen et al. 2025).
    """
    left = p * (p >= min_p * p.amax(dim=-1, keepdim=True))
    return left / left.sum(dim=-1, keepdim=True)
