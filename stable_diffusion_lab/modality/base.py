"""What a sample is: how it is stored, and how it is shown."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.error import ConfigError


class Modality(ABC):
    """Between samples as networks see them and samples as they are kept.

    Attributes:
        noun: what several samples are called in a message.
        entry: what one number of a sample is called.
        crowd: how many samples a picture of a distribution wants.
        ending: of the file that shows samples while a run goes on.
    """

    noun: str
    entry: str
    crowd: int
    ending: str = ".png"

    def node(self) -> dict[str, Any]:
        """What builds this modality again, as a config would say it; kept in the run's folder."""
        return {"_target_": f"{type(self).__module__}.{type(self).__qualname__}"}

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one stored sample, of samples that networks see as ``shape``."""
        return shape

    @abstractmethod
    def to_sample(self, stored: Tensor) -> Tensor:
        """Map stored samples ``[N, ...]`` to float32 in [-1, 1]."""

    @abstractmethod
    def to_stored(self, sample: Tensor) -> Tensor:
        """Map samples ``[N, ...]`` to what is stored; the inverse of ``to_sample``."""

    @abstractmethod
    def array(self, stored: Tensor) -> numpy.ndarray:
        """Stored samples ``[N, ...]`` as others expect them in a file."""

    @abstractmethod
    def panel(self, stored: Tensor) -> Image.Image:
        """One picture of all stored samples ``[N, ...]``."""

    @abstractmethod
    def files(self, stored: Tensor) -> Iterable[Image.Image]:
        """A picture of each stored sample.

        Raises:
            ConfigError: if one sample by itself is no picture.
        """

    def prompt(self, text: str, length: int) -> Tensor:
        """The beginning of a sample of ``length`` entries as it is stored, ``[n]``.

        Raises:
            ConfigError: if samples have no beginning that could be given.
        """
        raise ConfigError("CFG-VALUE", f"prompt: {self.noun} cannot be begun; leave it out")

    def lines(self, stored: Tensor) -> list[str]:
        """Each stored sample as one line of text.

        Raises:
            ConfigError: if samples are no text.
        """
        raise ConfigError("CFG-VALUE", f"out: {self.noun} are no text; say samples.npz or grid.png")

    def exhibit(self, stored: Sample) -> bytes:
        """What a run shows of its samples, as the content of a file that ends in ``ending``."""
        return png(self.picture(stored))

    def picture(self, stored: Sample) -> Image.Image:
        """Drafts on the left, their refinements on the right, a white line between them."""
        left, right = self.panel(stored.draft), self.panel(stored.refined)
        both = Image.new(left.mode, (left.width + right.width + 8, left.height), "white")
        both.paste(left, (0, 0))
        both.paste(right, (left.width + 8, 0))
        return both


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
