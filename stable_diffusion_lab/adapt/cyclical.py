"""A weight on the refiner's rate that rises from nothing, several times."""

import torch
from torch import Tensor

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError


class Cyclical(Adapt):
    """Cyclical annealing, a cure for posterior collapse (Fu et al. 2019, arXiv 1903.10145, eq. 6 and 7).

    While latents may say something for little the decoder learns to read them; the next cycle begins with
    what it has learnt. In each of ``cycles`` the weight of the rate rises in a straight line from 0 to 1 and
    stays there for the rest; after the last it is 1. Steps in which the refiner does not learn do not count.
    All other terms count by their share.

    Args:
        weights: see ``Adapt``.
        period: steps of a cycle.
        cycles: how many there are; one is the usual annealing (Bowman et al. 2016).
        rise: share of a cycle in which the weight rises, at most 1.

    Attributes:
        learnt: steps in which the refiner has learnt.
    """

    learnt: Tensor

    def __init__(
        self,
        weights: dict[str, float],
        period: PositiveInt,
        cycles: PositiveInt = 4,
        rise: PositiveFloat = 0.5,
    ) -> None:
        super().__init__(weights)
        if rise > 1:
            raise ConfigError("CFG-VALUE", f"adapt.rise: {rise}; a share of a cycle, at most 1")
        self.period = period
        self.cycles = cycles
        self.rise = rise
        self.register_buffer("learnt", torch.tensor(0))

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        weights = self.fixed(terms)
        rates = self.refiner_rates(terms)
        if rates:
            weight = self.weight()
            self.learnt.add_(1)
            for name in rates:
                weights[name] = weights[name] * weight
        return weights

    def weight(self) -> Tensor:
        """Of the rate in the step to come, a scalar in [0, 1]."""
        into = self.learnt % self.period / (self.rise * self.period)
        return torch.where(self.learnt < self.cycles * self.period, into.clamp(max=1.0), 1.0)
