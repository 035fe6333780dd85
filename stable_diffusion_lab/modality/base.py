"""What a sample is: how it is stored, and how it is shown."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.file.base import Mask, Reader


class Modality(ABC):
    """Between samples as networks see them and samples as they are kept. Holds no data.

    Attributes:
        noun: what several samples are called in a message.
        entry: what one number of a sample is called.
        crowd: how many samples a picture of a distribution wants.
        suffix: how the name of a file ends that holds one sample.
        apart: how many samples of each stage are kept as such files beside a picture, which does not say all.
    """

    noun: str
    entry: str
    crowd: int
    suffix: str
    apart: int = 0

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
    def files(self, stored: Tensor) -> Iterable[bytes]:
        """Each stored sample by itself, as the bytes of a file.

        Raises:
            ConfigError: if one sample by itself makes no file, or what writes it is not installed.
        """

    def reader(self, shape: tuple[int, ...], mask: Mask) -> Reader:
        """What opens files that are to be restored.

        Args:
            shape: of one sample of the pair.
            mask: which parts of each file are lost; what it may be, the reader says.

        Raises:
            ConfigError: if no files hold such samples, or ``mask`` is no mask for them.
        """
        raise ConfigError(
            "CFG-FIT", f"run: its samples are {self.noun}, and no files of such can be restored"
        )

    def picture(self, *stored: Tensor) -> Image.Image:
        """Panels of equally many stored samples ``[N, ...]`` from left to right, white lines between them."""
        panels = [self.panel(samples) for samples in stored]
        step = panels[0].width + 8
        together = Image.new(panels[0].mode, (step * len(panels) - 8, panels[0].height), "white")
        for index, panel in enumerate(panels):
            together.paste(panel, (step * index, 0))
        return together


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
