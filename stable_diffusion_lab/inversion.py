"""Restoration by a pair that was never trained for it: a search for the noise whose draft agrees."""

from collections.abc import Callable

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation


def search(
    draft: Callable[[Tensor], Tensor],
    noise: Tensor,
    observed: Observation,
    rng: torch.Generator,
    steps: int = 100,
    pool: int = 16,
    rate: float = 0.05,
    scale: float = 0.1,
) -> Tensor:
    """Noise with a high posterior density, sum_seen |x(z) - y|^2 / (2 scale^2) + |z|^2 / 2 small.

    The best of a pool of draws, then Adam on the noise (the latent search of Bora et al. 2017, eq. 3, from
    the best of several starts). Each row starts from draws of its own, so rows that see the same find
    different completions where the observation leaves room for them.

    Args:
        draft: noise ``[B, D]`` to samples ``[B, ...]``, differentiable.
        noise: standard normal, ``[B, D]``: a first draw for each row.
        observed: what samples ``[B, ...]`` are to agree with.
        rng: on the CPU; makes the other draws.
        steps: of Adam.
        pool: draws to choose each start from.
        rate: step size of Adam, in standard deviations of the noise.
        scale: how exactly samples are to agree, a standard deviation in units of the range [-1, 1].

    Returns:
        ``[B, D]``, without a graph.
    """

    def energy(z: Tensor) -> Tensor:
        """Negative log posterior of each row, up to a constant, ``[B]``."""
        apart = (draft(z) - observed.sample) * observed.seen
        return apart.flatten(1).square().sum(dim=1) / (2 * scale**2) + z.square().sum(dim=1) / 2

    with torch.no_grad():
        best, least = noise, energy(noise)
        for _ in range(pool - 1):
            other = torch.randn(noise.shape, generator=rng).to(noise)
            found = energy(other)
            best = torch.where((found < least)[:, None], other, best)
            least = torch.minimum(found, least)
    z = best.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            (slope,) = torch.autograd.grad(energy(z).sum(), z)
            z.grad = slope
            optimizer.step()
    return z.detach()
