"""What a sample is: how it is stored, and how it is shown."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
from PIL import Image, ImageDraw
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.file.base import MaskSpec, Reader

GAP = 8  # pixels between panels
CAPTION = 14  # pixels: height of a line above them


class Modality(ABC):
    """Between samples as networks see them and samples as they are kept. Holds no data.

    Attributes:
        noun: what several samples are called in a message.
        entry: what one number of a sample is called.
        crowd: how many samples a picture of a distribution wants.
        suffix: how the name of a file ends that holds one sample.
        damageable: whether the damages of a task mean anything for such samples.
        apart: how many samples of each stage are kept as such files beside a picture, which does not say all.
        ending: of the file that shows samples while a run goes on.
    """

    noun: str
    entry: str
    crowd: int
    suffix: str
    damageable: bool = True
    apart: int = 0
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
    def files(self, stored: Tensor) -> Iterable[bytes]:
        """Each stored sample by itself, as the bytes of a file.

        Raises:
            ConfigError: if one sample by itself makes no file, or what writes it is not installed.
        """

    def reader(self, shape: tuple[int, ...], mask: MaskSpec) -> Reader:
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

    def prompt(self, text: str, length: int) -> Observation:
        """What is known of one sample of ``length`` entries whose beginning is given.

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

    def units(self, stored: Tensor) -> dict[str, Tensor]:
        """What readers count in samples, where that is not their entries, by the name of one.

        How many there are in each stored sample ``[N, ...]``, ``[N]`` int64.
        """
        return {}

    def exhibit(self, stages: Mapping[str, Tensor]) -> bytes:
        """What is shown of stored samples ``[N, ...]`` by stage, as a file that ends in ``ending``."""
        return png(captioned(self.picture(*stages.values()), [*stages]))

    def picture(self, *stored: Tensor) -> Image.Image:
        """Panels of equally many stored samples ``[N, ...]`` from left to right, white lines between them."""
        panels = [self.panel(samples) for samples in stored]
        width = sum(panel.width + GAP for panel in panels) - GAP
        together = Image.new(panels[0].mode, (width, max(panel.height for panel in panels)), "white")
        left = 0
        for panel in panels:
            together.paste(panel, (left, 0))
            left += panel.width + GAP
        return together


def captioned(picture: Image.Image, captions: Sequence[str], gap: int = GAP) -> Image.Image:
    """A picture of equally wide panels, so many pixels apart, and above each what it is."""
    together = Image.new(picture.mode, (picture.width, picture.height + CAPTION), "white")
    together.paste(picture, (0, CAPTION))
    pen = ImageDraw.Draw(together)
    for index, caption in enumerate(captions):
        pen.text((index * (picture.width + gap) / len(captions) + 2, 1), caption, fill="black")
    return together


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
