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
    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        """What is hidden of ``n`` samples of a height and width, or of a length: bool ``[n, *size]``.

        Numbers are drawn on the CPU; what is made of them is made on ``device``.

        Raises:
            ConfigError: if samples of this size cannot be hidden so.
        """

    def apply(self, observed: Observation, rng: torch.Generator) -> Observation:
        sample, seen, exact = observed
        hidden = self.hidden(len(sample), tuple(sample.shape[2:]), rng, sample.device)
        kept = (~hidden)[:, None].to(sample.dtype)
        return Observation(sample * kept, seen * kept, exact * kept)


def boxes(starts: list[Tensor], widths: list[Tensor], size: tuple[int, ...]) -> Tensor:
    """The union of boxes, bool ``[n, *size]``.

    Args:
        starts: the first entry of each box, a tensor ``[n, K]`` for each direction.
        widths: the number of its entries, likewise; 0 for no box.
        size: of a sample, without channels.
    """
    inside = torch.ones((), dtype=torch.bool, device=starts[0].device)
    for direction, (start, width, full) in enumerate(zip(starts, widths, size, strict=True)):
        at = torch.arange(full, device=start.device)
        within = (at >= start[..., None]) & (at < (start + width)[..., None])
        others = [1] * (len(size) - direction - 1)
        inside = inside & within.view(*start.shape, *[1] * direction, full, *others)
    return inside.any(dim=1)
