"""Samples out of damaged ones."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.task.base import Task
from stable_diffusion_lab.task.damage.base import Damage


class Restoration(Task):
    """Clean samples go through one damage after another, as the config lists them.

    Where there is a single one, samples are also completed by what it can tell of them (``Damage.project``):
    after a second one, or before, that would no longer hold.

    Args:
        damages: by name, in order.

    Raises:
        ConfigError: if there are none.
    """

    observes = True

    def __init__(self, damages: Mapping[str, Damage]) -> None:
        if not damages:
            raise ConfigError(
                "CFG-VALUE", "task.damages: there are none; say damage=strokes, or task=generation"
            )
        self.damages = dict(damages)
        self.grid = math.lcm(*(damage.grid for damage in damages.values()))
        self.merges = any(damage.merges for damage in damages.values())
        self.only = next(iter(damages.values())) if len(damages) == 1 else None

    def observe(self, clean: Tensor, rng: torch.Generator) -> Observation:
        everything = clean.new_ones(len(clean), 1, *clean.shape[2:])
        observed = Observation(clean, everything, everything)
        # Not in half precision, in which a cosine transform or a blur would be another damage.
        with torch.autocast(clean.device.type, enabled=False):
            for damage in self.damages.values():
                observed = damage(observed, rng)
        return observed

    def complete(self, sample: Tensor, observed: Observation | None) -> Tensor:
        if observed is not None and self.only is not None:
            sample = self.only.project(sample, observed)
        return super().complete(sample, observed)

    def settle(self, sample: Tensor, observed: Observation) -> Tensor:
        if self.only is not None:
            sample = self.only.settle(sample, observed)
        return super().complete(sample, observed)

    def describe(self, sample: Tensor, seen: Tensor) -> Observation:
        sample = sample * seen
        if self.only is not None:
            sample = self.only.observable(sample, seen)
        exact = seen
        for damage in self.damages.values():
            exact = exact * damage.known(sample, seen)
        return Observation(sample, seen, exact)
