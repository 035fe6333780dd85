"""A convolutional VAE."""

import math

from torch import nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.refiner.sequential import Sequential


class Convolutional(Sequential):
    """Two strided convolutions down, two transposed ones up, and a hidden layer beside the latents.

    Args:
        shape: ``(C, H, W)`` of one sample; H and W divisible by 4.
        latent_dim: width of the latent vector.
        channels: channels of the first map; the second has twice as many.
        hidden_dim: width of the dense layer on either side of the latents.
        decoder_scale: standard deviation of the likelihood, in units of the range [-1, 1].

    Raises:
        ConfigError: if ``shape`` is another.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        channels: PositiveInt,
        hidden_dim: PositiveInt,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
            wanted = "[C, H, W] with H and W divisible by 4"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants {wanted}, or refiner=mlp")
        colours, height, width = shape
        small = (2 * channels, height // 4, width // 4)
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(math.prod(small), hidden_dim),
            nn.SiLU(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.SiLU(),
            nn.Linear(hidden_dim, math.prod(small)),
            nn.SiLU(),
            nn.Unflatten(1, small),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(channels, colours, 4, 2, 1),
            nn.Tanh(),
        )
