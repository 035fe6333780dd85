"""A box in the middle."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.task.damage.mask import Mask


class CentreBox(Mask):
    """Hides the middle of every sample, the same part in each direction.

    Args:
        side: of the box, as a share of the sample's sides; rounded to whole entries.
    """

    def __init__(self, side: Fraction = 0.5) -> None:
        self.side = side

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        box = torch.zeros(size, dtype=torch.bool, device=device)
        widths = [round(self.side * full) for full in size]
        box[tuple(slice((f - w) // 2, (f - w) // 2 + w) for f, w in zip(size, widths, strict=True))] = True
        return box.expand(n, *size)
