"""Distributions that are known exactly."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Density(ABC):
    """A distribution of vectors within about [-1, 1] that can be drawn from and evaluated.

    Attributes:
        dim: number of coordinates D.
    """

    dim: int

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Points ``[n, D]`` float32, and which component each is of, ``[n]`` int64; ``None`` for one only."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of points ``[n, D]`` in nats, ``[n]`` float64; minus infinity where there is none."""

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Points ``[n, D]`` float32."""
        return self.draw(n, rng)[0]
