"""Damages that forget a part of every sample, of which any other part would do."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.task.damage.distortion import Distortion

_HALVINGS = 20  # of the range of a shift: to a millionth of it, finer than 16 bits


class Projection(Distortion):
    """A linear P with P P = P, known without chance, whose values are weighted means of some entries each.

    Observed is y = P x. Any s becomes a sample that is observed as y by s + y - P s, which keeps whatever
    of s the damage forgets.
    """

    @abstractmethod
    def keep(self, sample: Tensor) -> Tensor:
        """P of samples ``[B, ...]``.

        Raises:
            ConfigError: if samples of this shape cannot be projected so.
        """

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        return self.keep(sample)

    def observable(self, sample: Tensor, seen: Tensor) -> Tensor:
        """P of a file that need not be P of anything; where some of a mean is lost, the mean of the rest."""
        share = self.keep(seen.expand_as(sample))
        return torch.where(seen > 0, self.keep(sample) / share, 0.0)

    def project(self, sample: Tensor, observed: Observation) -> Tensor:
        known = observed.sample.to(sample.dtype)
        return sample + (known - self.keep(sample)) * observed.seen.to(sample.dtype)

    def settle(self, sample: Tensor, observed: Observation) -> Tensor:
        """What agrees with the observation within [-1, 1].

        Cut off at its ends, means would change; so those entries of which P makes one are shifted together
        until their mean is right again. It grows with the shift, which is found by bisection.
        """
        agreeing = self.project(sample, observed)
        reach = 1 + agreeing.abs().max().item()
        if reach <= 2:
            return agreeing
        wanted = self.keep(agreeing)
        low, high = torch.full_like(wanted, -reach), torch.full_like(wanted, reach)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            short = self.keep((agreeing + middle).clamp(-1, 1)) < wanted
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        return (agreeing + high).clamp(-1, 1)
