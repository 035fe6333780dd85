"""The features in which generated samples are judged. Never used in a loss."""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from stable_diffusion_lab.layer.image_range import to_sample


class TrainingData(Protocol):
    """What an extractor may learn from: the training images ``[N, C, H, W]`` uint8 and their labels."""

    name: str

    @property
    def train(self) -> tuple[Tensor, Tensor | None]: ...

    @property
    def fingerprint(self) -> str: ...


class Extractor(nn.Module, ABC):
    """A fixed convolutional map from samples to feature vectors. Its parameters take no gradient.

    Features are divided by one number, so that over the training data the variance of a feature is one
    on average. Frechet distances then have the same unit in all data sets.

    Args:
        shape: ``(C, H, W)`` of a sample.
        feature_dim: width of a feature vector.
        channels: channels of the first convolution.
    """

    unit: Tensor

    def __init__(self, shape: tuple[int, ...], feature_dim: int, channels: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.body = convolutional_body(shape, channels, feature_dim).requires_grad_(False)
        self.register_buffer("unit", torch.ones(()))

    @abstractmethod
    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Get ready to judge samples of a data set; called once, before the first ``forward``.

        Args:
            data: what the samples are to resemble.
            cache: folder for anything worth keeping between runs.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Features of samples ``[B, C, H, W]`` in [-1, 1], as ``[B, feature_dim]``."""
        return self.body(x) / self.unit

    @torch.no_grad()
    def extract(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Features ``[N, feature_dim]`` of stored images ``[N, C, H, W]`` uint8, a batch at a time.

        Bytes, because they are what is saved and looked at: real and generated images are rounded alike.
        """
        return torch.cat([self(to_sample(batch.to(self.unit.device))) for batch in images.split(batch_size)])

    def calibrate(self, images: Tensor) -> None:
        """Set the unit from training images ``[N, C, H, W]`` uint8; for use in ``prepare``."""
        self.unit.fill_(1)
        self.unit.copy_(self.extract(images).var(dim=0).mean().sqrt())


def convolutional_body(shape: tuple[int, ...], channels: int, feature_dim: int) -> nn.Sequential:
    """``[B, *shape]`` to ``[B, feature_dim]``: convolutions that halve the image until its shorter side is
    about six pixels, with twice the channels each time, then one linear layer.
    """
    depth, height, width = shape
    layers: list[nn.Module] = []
    for _ in range(max(1, round(math.log2(min(height, width) / 6)))):
        layers += [nn.Conv2d(depth, channels, 4, stride=2, padding=1), nn.ReLU()]
        depth, height, width = channels, height // 2, width // 2
        channels *= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(depth * height * width, feature_dim))
