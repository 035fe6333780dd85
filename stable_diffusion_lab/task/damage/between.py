"""Numbers that each sample draws for itself."""

import torch
from torch import Tensor

from stable_diffusion_lab.error import ConfigError


class Between:
    """Uniform between two bounds.

    Args:
        lowest: least value.
        highest: greatest.
        names: of the two, for messages.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    def __init__(self, lowest: float, highest: float, names: tuple[str, str] = ("lowest", "highest")) -> None:
        if lowest > highest:
            low, high = names
            raise ConfigError("CFG-VALUE", f"damage {low}: {lowest} is above {high}: {highest}")
        self.lowest = lowest
        self.highest = highest

    def draw(self, rng: torch.Generator, *shape: int) -> Tensor:
        """Real numbers ``[*shape]`` on the CPU."""
        return self.lowest + (self.highest - self.lowest) * torch.rand(shape, generator=rng)

    def whole(self, rng: torch.Generator, *shape: int) -> Tensor:
        """Whole numbers ``[*shape]`` on the CPU, both bounds among them."""
        return torch.randint(int(self.lowest), int(self.highest) + 1, shape, generator=rng)

    def each(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        """One real number for each sample of ``[B, ...]``, ``[B, 1, ...]`` of its type and on its device."""
        return self.draw(rng, len(sample), *[1] * (sample.dim() - 1)).to(sample, non_blocking=True)
