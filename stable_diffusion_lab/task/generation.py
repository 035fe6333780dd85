"""Samples out of nothing."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.task.base import Task


class Generation(Task):
    """Nothing is observed, and every sample will do.

    A damaged sample that a user has is taken as it is: known exactly wherever it is not lost.
    """

    observes = False

    def observe(self, clean: Tensor, rng: torch.Generator) -> None:
        return None

    def describe(self, sample: Tensor, seen: Tensor) -> Observation:
        return Observation(sample * seen, seen, seen)
