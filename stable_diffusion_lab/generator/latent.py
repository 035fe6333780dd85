"""A generator that drafts latents for the refiner to decode."""

from collections.abc import Iterable

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Seed
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.mixture import Mixture
from stable_diffusion_lab.layer.bend import Bend


class Latent(Generator):
    """A residual network that bends a mixture of Gaussians onto the latents of real data.

    Noise from a mixture gives each mode of the data a place of its own to come from (DeLiGAN, Gurumurthy
    et al. 2017); here the mixture is fitted to the data by EM when the generator begins to learn,
    instead of learnt with it. The last layer starts at zero, so the network begins as the identity
    and everything it learns is what Gaussians cannot do.

    Args:
        noise_dim: width of the noise vector; the mixture wants as much as there is code.
        shape: shape of one code, ``(latent_dim,)``.
        components: of the mixture that drafts begin from; one makes it a Gaussian.
        hidden_dim: width of the residual stream.
        blocks: number of residual blocks.
        seed: of the mixture's fit.

    Raises:
        ConfigError: if ``shape`` is not ``(noise_dim,)``.
    """

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        components: PositiveInt = 16,
        hidden_dim: PositiveInt = 256,
        blocks: NonNegativeInt = 3,
        seed: Seed = 0,
    ) -> None:
        super().__init__(noise_dim, shape)
        self.start = Mixture(noise_dim, shape, components, seed=seed)
        self.bend = Bend(noise_dim, hidden_dim, blocks)

    def forward(self, noise: Tensor) -> Tensor:
        return self.bend(self.start(noise))

    def check(self, count: int, labels: Tensor | None) -> None:
        self.start.check(count, labels)

    @torch.no_grad()
    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Fit the start to real codes and take their mean and spread as units."""
        everything = torch.cat(list(codes))
        self.start.initialise([everything])
        self.bend.measure(everything)
