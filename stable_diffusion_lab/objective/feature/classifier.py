"""Features of a classifier trained on the data's own labels."""

from pathlib import Path

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Seed, Some
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.extractor import classifier
from stable_diffusion_lab.extractor.base import TrainingData
from stable_diffusion_lab.layer.activations import activations
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.network import Network, refuse_vectors
from stable_diffusion_lab.seeding import fold


class Classifier(Network):
    """Compares what each hidden layer of a small convolutional classifier sees.

    A perceptual loss (Johnson et al. 2016) whose network learns from the training split alone, before the
    run. It is built like the extractor of this name, with other widths and from another seed: what judges
    must not train. Until ``prepare`` is called its weights are random.

    Args:
        shape: ``(C, H, W)`` of a sample.
        feature_dim: width of the last hidden layer.
        channels: channels of the first convolution.
        steps: batches of 128 to train for.
        seed: initial weights and order of the data; an extractor with the same seed is another classifier.
        pool: see ``Network``.
        layers: see ``Network``.
        bank: see ``Feature``.

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        feature_dim: PositiveInt = 96,
        channels: PositiveInt = 24,
        steps: PositiveInt = 1200,
        seed: Seed = 0,
        pool: PositiveInt = 4,
        layers: Some[int] | None = None,
        bank: NonNegativeInt = 0,
    ) -> None:
        super().__init__(pool, layers, bank)
        refuse_vectors(shape)
        self.network = classifier.Classifier(shape, feature_dim, channels, steps, fold(seed, 1)).eval()

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Train, or load from the cache what was trained for the same data and settings.

        Raises:
            DataError: if the data has no labels.
            DiskError: if the cache cannot be written.
        """
        if data.train.some()[1] is None:
            message = f"{data.name} has no labels to train a classifier on; say feature=random_convolution"
            raise DataError("DATA-LABELS", message)
        self.network.prepare(data, cache)

    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        return activations(self.network.body.children(), x, nn.ReLU)
