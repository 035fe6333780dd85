"""How probable a refiner finds samples: bounds on log p(x) from draws of the posterior."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner


class LogLikelihood(NamedTuple):
    """Lower bounds on log p(x) in nats per dimension of a sample, ``[B]``, the second the tighter; of text
    per token.

    Of numbers they are of a density over the range [-1, 1], so they may be positive.

    Attributes:
        elbo: evidence lower bound (Kingma & Welling 2014, eq. 2), averaged over the draws.
        iwae: importance-weighted bound (Burda et al. 2016, eq. 8); log p(x) with infinitely many draws.
        entries: what the nats were divided by (see ``Refiner.count``).
    """

    elbo: Tensor
    iwae: Tensor
    entries: Tensor


def log_likelihood(refiner: Refiner, x: Tensor, draws: int) -> LogLikelihood:
    """Bounds for samples ``[B, *refiner.shape]``, constants included, from draws h of q(h | x)."""
    posterior = refiner.encode(x)
    count = refiner.count(x)
    prior = Posterior(torch.zeros_like(posterior.mean), torch.zeros_like(posterior.mean))

    def log_weight(h: Tensor) -> Tensor:
        """log p(x | h) + log p(h) - log q(h | x); the constants of the last two cancel."""
        return refiner.log_prob(x, h) + prior.log_prob(h) - posterior.log_prob(h)

    weights = torch.stack([log_weight(posterior.sample()) for _ in range(draws)])
    iwae = weights.logsumexp(dim=0) - math.log(draws)
    return LogLikelihood(weights.mean(dim=0) / count, iwae / count, count)
