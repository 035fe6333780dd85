"""How close samples are to the data, for what features cannot see: the stored samples themselves."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.text import Text


class Measure(ABC):
    """A function of stored samples, real and generated, that knows the training data.

    Attributes:
        higher_is_better: the names of its values, and whether more is better. Of what has no better side,
            such as the likeness of samples to each other, the floor is the target.
    """

    higher_is_better: ClassVar[dict[str, bool]]

    @abstractmethod
    def prepare(self, modality: Modality, train: Tensor) -> None:
        """Get to know what samples are, and the stored training samples ``[N, ...]``; called once, first."""

    @abstractmethod
    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Values by name, from stored samples ``[N, ...]`` and ``[M, ...]`` on the CPU."""


class TextMeasure(Measure):
    """A measure of texts.

    Attributes:
        modality: between tokens and what they say.
    """

    modality: Text

    def prepare(self, modality: Modality, train: Tensor) -> None:
        """Get to know the vocabulary and the stored training texts ``[N, L]``.

        Raises:
            ConfigError: if samples are no texts.
        """
        if not isinstance(modality, Text):
            names = ", ".join(self.higher_is_better)
            raise ConfigError("CFG-VALUE", f"measure: {names} are of texts, and samples are {modality.noun}")
        self.modality = modality
        self.learn(train)

    def learn(self, train: Tensor) -> None:
        """Take from the training texts ``[N, L]`` whatever is needed of them."""
