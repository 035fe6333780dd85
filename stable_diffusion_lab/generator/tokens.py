"""Generators of texts that draw the tokens themselves."""

import math

from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.straight_through import gumbel, most_probable


class Tokens(Generator):
    """One-hot tokens ``[B, L, V]``, drawn by the Gumbel-max trick; a part of the noise decides between them.

    A draft is a function of its noise. The gradient is that of the softmax with a temperature
    (straight-through Gumbel-softmax, Jang et al. 2017, section 2.2).

    Args:
        noise_dim: entries of the noise vector that say what is to be written; L V more decide between tokens.
        shape: ``(L, V)``.
        temperature: of the softmax whose gradient is taken.

    Raises:
        ConfigError: if ``shape`` is not that of a text.
    """

    def __init__(self, noise_dim: int, shape: tuple[int, ...], temperature: float) -> None:
        super().__init__(noise_dim + math.prod(shape), shape)
        if len(shape) != 2:
            wants = "wants [length, vocabulary] of data=text; for other data say generator=mlp or dcgan"
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; {wants}")
        self.free = noise_dim
        self.temperature = temperature

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be written ``[B, free]``, and what decides between tokens ``[B, L, V]``."""
        return noise[:, : self.free], noise[:, self.free :].view(len(noise), *self.shape)

    def draw(self, scores: Tensor, deciding: Tensor) -> Tensor:
        """One-hot tokens ``[..., V]`` by unnormalised log-probabilities and standard normal noise."""
        return most_probable(((scores + gumbel(deciding)) / self.temperature).softmax(dim=-1))
