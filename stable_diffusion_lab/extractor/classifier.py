"""Features of a classifier trained on the data's own labels."""

from functools import partial

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.extractor.base import convolutional_body
from stable_diffusion_lab.extractor.supervised import Supervised


class Classifier(Supervised):
    """The last hidden layer of a small convolutional classifier of images.

    Args:
        shape: ``(C, H, W)`` of a sample.
        feature_dim: width of the last hidden layer.
        channels: channels of the first convolution.
        steps: batches of 128 to train for.
        seed: initial weights and order of the data.

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """

    without_labels = "random_convolution"

    def __init__(
        self,
        shape: tuple[int, ...],
        feature_dim: PositiveInt = 64,
        channels: PositiveInt = 16,
        steps: PositiveInt = 1200,
        seed: Seed = 0,
    ) -> None:
        super().__init__(partial(convolutional_body, shape, channels, feature_dim), feature_dim, steps, seed)
