"""Where drafts live: the one place that knows whether a generator's output is an image."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from stable_diffusion_lab.refiner.base import Refiner


class Comparison(NamedTuple):
    """Two sets of points to be held against each other, ``[N, ...]`` and ``[M, ...]``."""

    generated: Tensor
    real: Tensor


class DraftSpace(ABC):
    """The space that the generator draws in, and how it connects to samples and to the refiner."""

    @abstractmethod
    def render(self, code: Tensor, refiner: Refiner) -> Tensor:
        """Turn the generator's output ``[B, *generator.shape]`` into samples ``[B, *sample shape]``."""

    @abstractmethod
    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        """Put real samples where the generator draws; the inverse of ``render`` on the data."""

    @abstractmethod
    def compare(self, code: Tensor, clean: Tensor, refiner: Refiner) -> list[Comparison]:
        """What an objective holds against the data: the draft, its refinement, or both.

        The gradient reaches ``code`` only: the refiner is a constant, and real points carry no graph.
        """
