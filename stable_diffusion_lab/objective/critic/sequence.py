"""A critic of texts."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.critic.base import Critic


class Sequence(Critic):
    """Convolutions along the text, which see ever longer parts of it, then one layer (Gulrajani et al. 2017).

    Args:
        shape: ``(length, channels)``: distributions over tokens, or their embeddings.
        width: channels after each convolution.
        depth: number of convolutions; each but the first halves the length.
        conditions: see ``Critic``.

    Raises:
        ConfigError: if ``shape`` is not that of a text, or too short.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: PositiveInt = 128,
        depth: PositiveInt = 3,
        conditions: NonNegativeInt = 0,
    ) -> None:
        super().__init__(shape, conditions)
        if len(shape) != 2 or shape[0] < 2 ** (depth - 1):
            wants = f"[length, channels] with a length of {2 ** (depth - 1)} or more, or critic=mlp"
            raise ConfigError("CFG-VALUE", f"critic.shape: {list(shape)}; wants {wants}")
        length, channels = self.shape
        layers: list[nn.Module] = [nn.Conv1d(channels, width, 5, padding=2), nn.LeakyReLU(0.2)]
        for _ in range(depth - 1):
            layers += [nn.Conv1d(width, width, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
            length = (length + 1) // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(length * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.mT).squeeze(1)
