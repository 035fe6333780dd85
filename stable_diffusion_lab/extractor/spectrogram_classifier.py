"""Features of a classifier of recordings, trained on the data's own labels."""

from functools import partial

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.extractor.base import convolutional_body
from stable_diffusion_lab.extractor.spectrogram import listening_body
from stable_diffusion_lab.extractor.supervised import Supervised
from stable_diffusion_lab.modality.audio import Audio


class SpectrogramClassifier(Supervised):
    """The last hidden layer of a small convolutional classifier of log-mel spectrograms.

    Args:
        shape: ``(C, T)`` of a sample.
        rate: samples per second.
        feature_dim: width of the last hidden layer.
        channels: channels of the first convolution.
        steps: batches of 128 to train for.
        seed: initial weights and order of the data.

    Raises:
        ConfigError: if ``shape`` is not that of a waveform of a quarter of a second or more.
    """

    without_labels = "random_spectrogram"

    def __init__(
        self,
        shape: tuple[int, ...],
        rate: PositiveInt,
        feature_dim: PositiveInt = 64,
        channels: PositiveInt = 16,
        steps: PositiveInt = 600,
        seed: Seed = 0,
    ) -> None:
        build = partial(listening_body, convolutional_body, shape, rate, channels, feature_dim)
        super().__init__(build, feature_dim, steps, seed)
        self.modality = Audio(rate)
