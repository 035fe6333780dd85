"""The diagonal Gaussian that every inference network returns."""

from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """q(h | x) = N(mean, diag(exp(log_variance))), both ``[B, latent_dim]``."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """One reparameterised draw (Kingma & Welling 2014, eq. 10)."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """KL(q || N(0, I)) of each sample in nats, ``[B]`` (Kingma & Welling 2014, appendix B)."""
        each = self.mean**2 + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * each.sum(dim=1)

    def log_prob(self, h: Tensor) -> Tensor:
        """log q(h | x) of each sample in nats up to the constant -D/2 log 2 pi, ``[B]``."""
        each = (h - self.mean) ** 2 * (-self.log_variance).exp() + self.log_variance
        return -0.5 * each.sum(dim=1)
