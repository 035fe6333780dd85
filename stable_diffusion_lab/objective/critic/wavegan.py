"""A critic of waveforms."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.label import separate
from stable_diffusion_lab.objective.critic.base import Critic

STRIDE = 4
KERNEL = 25
SHORT = 16  # samples: where the convolutions end


class WaveGAN(Critic):
    """One-dimensional convolutions of 25 taps and stride 4 (Donahue et al. 2019, table 2).

    Deviation: no phase shuffle, under which a sample's value would be a matter of chance.

    Args:
        shape: ``(C, T)``, T > 16.
        width: channels after the first convolution; doubles with each further one.
        max_width: where the doubling stops.
        conditions: see ``Critic``.

    Raises:
        ConfigError: if ``shape`` is not that of a waveform, or it is too short.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: PositiveInt = 32,
        max_width: PositiveInt = 256,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        if len(shape) != 2 or shape[1] <= SHORT:
            wants = f"wants [C, T] with T > {SHORT}, or critic=mlp"
            raise ConfigError("CFG-VALUE", f"critic.shape: {list(shape)}; {wants}")
        channels, length = shape[0] + conditions, shape[1]
        layers: list[nn.Module] = []
        while length > SHORT:
            layers += [nn.Conv1d(channels, width, KERNEL, STRIDE, KERNEL // 2 - 1), nn.LeakyReLU(0.2)]
            channels, width = width, min(2 * width, max_width)
            length = (length - 3) // STRIDE + 1
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * length, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.conditions:  # labels come behind the samples (see ``layer.label``): here they are channels,
            x, label = separate(x, self.conditions)
            voices, length = x.shape[1:]  # as far apart over all times as they were behind all voices
            label = label * (voices / length) ** 0.5
            x = torch.cat([x, label[..., None].expand(-1, -1, length)], dim=1)
        return self.net(x).squeeze(1)
