"""The features in which generated samples are judged. The judge's own is never used in a loss."""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import Image


class TrainingSplit(Protocol):
    """Stored training samples ``[N, ...]`` and their labels, where there are some."""

    def some(self, limit: int = ...) -> tuple[Tensor, Tensor | None]:
        """As many of them as stand for all, evenly spaced."""


class TrainingData(Protocol):
    """What an extractor may learn from."""

    name: str
    modality: Modality

    @property
    def train(self) -> TrainingSplit: ...

    @property
    def fingerprint(self) -> str: ...


class Extractor(nn.Module, ABC):
    """A fixed map from samples to feature vectors. Its parameters take no gradient.

    Features are divided by one number, so that over the training data the variance of a feature is one
    on average. Frechet distances then have the same unit in all data sets.

    Args:
        body: samples ``[B, ...]`` to ``[B, feature_dim]``.
        feature_dim: width of a feature vector.

    Attributes:
        modality: what is judged.
    """

    modality: Modality = Image()
    unit: Tensor

    def __init__(self, body: nn.Sequential, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.body = body
        self.body.requires_grad_(False)
        self.register_buffer("unit", torch.ones(()))

    @abstractmethod
    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Get ready to judge samples of a data set; called once, before the first ``forward``.

        Args:
            data: what the samples are to resemble.
            cache: folder for anything worth keeping between runs.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Features of samples ``[B, ...]`` in [-1, 1], as ``[B, feature_dim]``."""
        return self.body(x) / self.unit

    @torch.no_grad()
    def extract(self, stored: Tensor, batch_size: int = 500) -> Tensor:
        """Features ``[N, feature_dim]`` of stored samples ``[N, ...]``, a batch at a time.

        Stored, because that is what is looked at: real and generated images are rounded alike.
        """
        batches = (batch.to(self.unit.device) for batch in stored.split(batch_size))
        return torch.cat([self(self.modality.to_sample(batch)) for batch in batches])

    def calibrate(self, stored: Tensor) -> None:
        """Set the unit from stored training samples ``[N, ...]``; for use in ``prepare``."""
        self.unit.fill_(1)
        self.unit.copy_(self.extract(stored).var(dim=0).mean().sqrt())


def convolutional_body(shape: tuple[int, ...], channels: int, feature_dim: int) -> nn.Sequential:
    """``[B, *shape]`` to ``[B, feature_dim]``: convolutions that halve the image until its shorter side is
    about six pixels, with twice the channels each time, then one linear layer.

    Raises:
        ConfigError: if ``shape`` is not that of an image.
    """
    if len(shape) != 3:
        message = f"shape: {list(shape)}; wants [C, H, W]; vectors are judged by extractor=coordinates"
        raise ConfigError("CFG-VALUE", message)
    depth, height, width = shape
    layers: list[nn.Module] = []
    for _ in range(max(1, round(math.log2(min(height, width) / 6)))):
        layers += [nn.Conv2d(depth, channels, 4, stride=2, padding=1), nn.ReLU()]
        depth, height, width = channels, height // 2, width // 2
        channels *= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(depth * height * width, feature_dim))
