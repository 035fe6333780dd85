"""Dead pixels."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.mask import Mask


class RandomPixels(Mask):
    """Hides each pixel, or value of a waveform, independently with the same probability.

    Args:
        lowest: least probability, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    def __init__(self, lowest: Fraction, highest: Fraction) -> None:
        self.share = Between(lowest, highest)

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        share = self.share.draw(rng, n, *[1] * len(size))
        return (torch.rand(n, *size, generator=rng) < share).to(device, non_blocking=True)
