"""The Free Spoken Digit Dataset."""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.waveform import read_waveforms
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.folder import find
from stable_diffusion_lab.modality.audio import Audio

NAME = re.compile(r"(?:.*/)?(\d)_([^/_]+)_(\d+)\.wav")
TEST, VALIDATION = range(5), range(5, 10)  # takes
SOURCE = "clone https://github.com/Jakobovski/free-spoken-digit-dataset there, or set data.root"


class SpokenDigits(Data):
    """Ten digits spoken by a few people, fifty times each (Jackson et al. 2018).

    A file is called ``<digit>_<speaker>_<take>.wav``. Takes 0 to 4 are the test split, as is customary, and
    5 to 9 validation. Shorter recordings lie in the middle of silence; of longer ones the loudest stretch is
    kept.

    Args:
        root: a folder with such files anywhere below it.
        name: short name for logs and folders.
        shape: ``(1, length)``.
        rate: samples per second; the files have 8,000.
        length: of a sample, in values.
        classes: of the labels: ten.

    Raises:
        DataError: if there are no such files, or some cannot be read, naming them.
        ConfigError: if the library that reads them is absent.
    """

    def __init__(
        self,
        root: str,
        shape: tuple[int, ...],
        rate: PositiveInt,
        length: PositiveInt = 6144,
        name: str = "spoken_digits",
        classes: NonNegativeInt = 10,
    ) -> None:
        self.modality = Audio(rate)
        folder = Path(root)
        found = {file: NAME.fullmatch(file) for file in sorted(find(folder, {".wav"}, "data.root"))}
        known = {file: match for file, match in found.items() if match}
        if not known:
            message = f"{folder}: no recordings named <digit>_<speaker>_<take>.wav; {SOURCE}"
            raise DataError("DATA-MISSING", message)
        waves = read_waveforms(folder, list(known), rate, channels=1)
        stored = torch.from_numpy(np.stack([_fitted(wave, length) for wave in waves]))
        digits = torch.tensor([int(match[1]) for match in known.values()])
        takes = [int(match[3]) for match in known.values()]
        test, watched = _among(takes, TEST), _among(takes, VALIDATION)
        parts = (~(test | watched), watched, test)
        splits = (Split(stored[part], digits[part]) for part in parts)
        super().__init__(name, shape, *splits, classes=classes)


def _among(takes: list[int], chosen: range) -> Tensor:
    return torch.tensor([take in chosen for take in takes])


def _fitted(wave: np.ndarray, length: int) -> np.ndarray:
    """A recording ``[C, T]`` as ``[C, length]``."""
    spare = length - wave.shape[1]
    if spare >= 0:
        return np.pad(wave, ((0, 0), (spare // 2, spare - spare // 2)))
    energy = np.pad((wave.astype(np.float64) ** 2).sum(axis=0).cumsum(), (1, 0))
    start = int((energy[length:] - energy[:-length]).argmax())
    return wave[:, start : start + length]
