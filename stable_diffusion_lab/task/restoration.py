"""Samples out of damaged ones."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.task.base import Task
from stable_diffusion_lab.task.damage.base import Damage


class Restoration(Task):
    """Clean samples go through one damage after another, as the config lists them.

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

    def observe(self, clean: Tensor, rng: torch.Generator) -> Observation:
        everything = clean.new_ones(len(clean), 1, *clean.shape[2:])
        observed = Observation(clean, everything, everything)
        for damage in self.damages.values():
            observed = damage(observed, rng)
        return observed

    def describe(self, sample: Tensor, seen: Tensor) -> Observation:
        trusted = all(damage.keeps for damage in self.damages.values())
        return Observation(sample * seen, seen, seen if trusted else torch.zeros_like(seen))
