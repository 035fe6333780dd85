"""Damages that hide a part and leave the rest as it was."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.task.damage.base import Damage


class Mask(Damage):
    """Hides what its masks cover; hidden values become 0."""

    keeps = True

    @abstractmethod
    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """What is hidden of ``n`` samples of a height and width, or of a length: bool ``[n, *size]``."""

    def __call__(self, observed: Observation, rng: torch.Generator) -> Observation:
        sample, seen, exact = observed
        kept = ~self.hidden(len(sample), tuple(sample.shape[2:]), rng)
        kept = kept[:, None].to(sample.device, sample.dtype, non_blocking=True)
        return Observation(sample * kept, seen * kept, exact * kept)
