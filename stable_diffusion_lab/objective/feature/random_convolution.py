"""Features of an untrained network."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Seed, Some
from stable_diffusion_lab.extractor import random_convolution
from stable_diffusion_lab.layer.activations import activations
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.network import Network, refuse_vectors
from stable_diffusion_lab.seeding import fold


class RandomConvolution(Network):
    """Compares what each layer of a convolutional network with random weights sees.

    The network is built like the extractor of this name, from another seed: what judges must not train.

    Args:
        shape: ``(C, H, W)`` of a sample.
        feature_dim: width of the last layer.
        channels: channels of the first convolution.
        seed: which network; that of an extractor with the same seed is another one.
        pool: see ``Network``.
        layers: see ``Network``.
        bank: see ``Feature``.

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        feature_dim: PositiveInt = 128,
        channels: PositiveInt = 24,
        seed: Seed = 0,
        pool: PositiveInt = 4,
        layers: Some[int] | None = None,
        bank: NonNegativeInt = 0,
    ) -> None:
        super().__init__(pool, layers, bank)
        refuse_vectors(shape)
        self.network = random_convolution.RandomConvolution(
            shape, feature_dim, channels, fold(seed, 1)
        ).eval()

    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        return activations(self.network.body.children(), x, nn.ReLU)
