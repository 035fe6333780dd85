"""A critic of images."""

import math

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.critic.base import Critic


class Convolutional(Critic):
    """Strided convolutions until a side is 4 or less (Radford et al. 2016), without normalisation.

    Args:
        shape: ``(channels, height, width)``, sides of 8 or more.
        width: channels after the first convolution; doubles with each further one.
        max_width: where the doubling stops.
        conditions: see ``Critic``.

    Raises:
        ConfigError: if ``shape`` is not that of an image, or a side is below 8.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: PositiveInt = 32,
        max_width: PositiveInt = 256,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise ConfigError(
                "CFG-VALUE", f"critic.shape: {list(shape)}; wants [C, H, W] with sides >= 8, or critic=mlp"
            )
        channels, *sides = self.shape
        layers: list[nn.Module] = []
        while min(sides) > 4:
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels, width = width, min(2 * width, max_width)
            sides = [side // 2 for side in sides]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(sides), 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)
