"""A weight on the refiner's rate that makes it what it should be."""

from typing import cast

import torch
from torch import Tensor, nn

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.bounds import NonNegativeFloat, PositiveFloat
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.ranks import mean_over_ranks
from stable_diffusion_lab.refiner.base import Refiner


class PIControl(Adapt):
    """Holds the KL divergence of the refiner's posterior at a target (Shao et al. 2020, arXiv 2004.05988).

    With e = target - rate in nats per sample, the weight of the rate is, at each step,

        I = clamp(I - integral e, low, high),   weight = clamp(I + proportional sigmoid(-e), low, high),

    times its share. A rate above the target makes the weight grow, one below lets it shrink. The bounds on
    I are the anti-windup: a target out of reach leaves no debt that would have to be worked off later. I
    begins at 1, the evidence lower bound. All other terms count by their share.

    The rate is the sum of the terms named ``<objective>/refiner/rate``; where there are none, as when the
    refiner does not learn, I stays as it is.

    Args:
        weights: see ``Adapt``.
        target: rate to hold, nats per sample.
        proportional: gain of the present error; the most that it adds to the weight.
        integral: gain of the accumulated error, per nat and step.
        low: least weight.
        high: largest weight.

    Attributes:
        entries: of a sample, by which terms are divided; known once attached. Of texts that end early the
            rate is taken for more than it is.
        accumulated: I.
        error: e of the latest step, nats per sample.
    """

    accumulated: Tensor
    error: Tensor

    def __init__(
        self,
        weights: dict[str, float],
        target: PositiveFloat,
        proportional: NonNegativeFloat = 0.01,
        integral: NonNegativeFloat = 1e-3,
        low: NonNegativeFloat = 0.01,
        high: PositiveFloat = 10.0,
    ) -> None:
        super().__init__(weights)
        if low > high:
            raise ConfigError("CFG-VALUE", f"adapt.low: {low} is above adapt.high = {high}; lower it")
        self.target = target
        self.entries = 1
        self.proportional = proportional
        self.integral = integral
        self.low = low
        self.high = high
        self.register_buffer("accumulated", torch.tensor(min(max(1.0, low), high)))
        self.register_buffer("error", torch.tensor(0.0))

    def attach(self, system: nn.Module) -> None:
        self.entries = cast(Refiner, system.get_submodule("model.refiner")).entries

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        weights = self.fixed(terms)
        rates = self.refiner_rates(terms)
        if rates:
            weight = self.step(torch.stack([*rates.values()]).sum() * self.entries)
            for name in rates:
                weights[name] = weights[name] * weight
        return weights

    def step(self, rate: Tensor) -> Tensor:
        """The weight after one more measurement of the rate, in nats per sample; both scalars."""
        self.error.copy_(self.target - mean_over_ranks(rate))
        self.accumulated.sub_(self.integral * self.error).clamp_(self.low, self.high)
        weight = self.accumulated + self.proportional * torch.sigmoid(-self.error)
        return weight.clamp(self.low, self.high)

    def status(self) -> dict[str, Tensor | float]:
        """``error``: how many nats per sample the rate was short of the target."""
        return {"error": self.error}
