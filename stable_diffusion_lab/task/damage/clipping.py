"""Too loud."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.task.damage.base import Damage
from stable_diffusion_lab.task.damage.between import Between


class Clipping(Damage):
    """Cuts waveforms off at a share of their greatest absolute value.

    What is below is known exactly, where no channel is cut off. That a clipped value was at least as far
    out as it is seen is known too, but nothing enforces it.

    Args:
        lowest: least share, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({1})

    def __init__(self, lowest: Fraction, highest: Fraction) -> None:
        self.share = Between(lowest, highest)

    def apply(self, observed: Observation, rng: torch.Generator) -> Observation:
        sample, seen, exact = observed
        limit = self.share.each(sample, rng) * sample.detach().abs().amax(dim=(1, 2), keepdim=True)
        clipped = torch.minimum(sample, limit).maximum(-limit)
        whole = (clipped == sample).all(dim=1, keepdim=True)
        return Observation(clipped, seen, exact * whole)

    def known(self, sample: Tensor, seen: Tensor) -> Tensor:
        """What is within the greatest and the least value, which are where it was cut off.

        Each by itself: the two ends of whole numbers are not equally far out.
        """
        most, least = (end(sample, dim=(1, 2), keepdim=True) for end in (torch.amax, torch.amin))
        inside = (sample < most) & (sample > least) | (sample == 0)
        return seen * inside.all(dim=1, keepdim=True)
