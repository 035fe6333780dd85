"""Features of an untrained network, for data without labels."""

from pathlib import Path

from torch import nn

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.extractor.base import Extractor, TrainingData, convolutional_body
from stable_diffusion_lab.seeding import fold, seeded


class RandomConvolution(Extractor):
    """A convolutional network with random weights that are the same in every run.

    Naeem et al. (2020, section 4) find such features the fairer judge of data unlike ImageNet. They tell
    less than a classifier's: read a distance next to its floor.

    Args:
        shape: ``(C, H, W)`` of a sample.
        feature_dim: width of a feature vector.
        channels: channels of the first convolution.
        seed: which network.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        feature_dim: PositiveInt = 64,
        channels: PositiveInt = 32,
        seed: Seed = 0,
    ) -> None:
        with seeded(fold(seed)):
            super().__init__(random_body(shape, channels, feature_dim), feature_dim)

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Only the unit depends on the data; nothing is kept."""
        images, _ = data.train.some()
        self.calibrate(images)


def random_body(shape: tuple[int, ...], channels: int, feature_dim: int) -> nn.Sequential:
    """``convolutional_body`` with weights that keep the signal's size through ReLU (Saxe et al. 2014)."""
    body = convolutional_body(shape, channels, feature_dim)
    for parameter in body.parameters():
        if parameter.dim() > 1:
            nn.init.orthogonal_(parameter, gain=2**0.5)
    return body
