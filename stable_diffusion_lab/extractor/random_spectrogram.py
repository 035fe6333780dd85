"""Features of an untrained network of recordings, for data without labels."""

from pathlib import Path

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.extractor.base import Extractor, TrainingData
from stable_diffusion_lab.extractor.random_convolution import random_body
from stable_diffusion_lab.extractor.spectrogram import listening_body
from stable_diffusion_lab.modality.audio import Audio
from stable_diffusion_lab.seeding import fold, seeded


class RandomSpectrogram(Extractor):
    """A convolutional network with random weights that looks at log-mel spectrograms.

    See ``RandomConvolution``.

    Args:
        shape: ``(C, T)`` of a sample.
        rate: samples per second.
        feature_dim: width of a feature vector.
        channels: channels of the first convolution.
        seed: which network.

    Raises:
        ConfigError: if ``shape`` is not that of a waveform of a quarter of a second or more.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        rate: PositiveInt,
        feature_dim: PositiveInt = 64,
        channels: PositiveInt = 32,
        seed: Seed = 0,
    ) -> None:
        with seeded(fold(seed)):
            super().__init__(listening_body(random_body, shape, rate, channels, feature_dim), feature_dim)
        self.modality = Audio(rate)

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Only the unit depends on the data; nothing is kept."""
        recordings, _ = data.train.some()
        self.calibrate(recordings)
