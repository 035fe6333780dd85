"""Any folder of recordings."""

from pathlib import Path

import numpy as np
import torch

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.folder import divided, tenth
from stable_diffusion_lab.data.waveform import read_waveforms
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.file.folder import find
from stable_diffusion_lab.file.sound_file import SUFFIXES
from stable_diffusion_lab.modality.audio import Audio


class WaveformFolder(Data):
    """Every WAV and FLAC file below a folder, cut into pieces of equal length, without labels.

    All pieces of a file belong to one split, by the hash of the file's path inside the folder, 80/10/10, so
    that adding files moves none of the others. Hidden files and folders are left out.

    Args:
        path: the folder.
        shape: ``(channels, length)``.
        rate: samples per second after resampling.
        length: of a piece, in samples.
        channels: 1 for mono, 2 for stereo.
        pad: fill the last piece of a file up with silence; otherwise what is left over is dropped.
        name: short name for logs and folders.
        classes: none, for there are no labels: 0.

    Raises:
        ConfigError: if ``channels`` is neither 1 nor 2, or the library that reads the files is absent.
        DataError: if the folder is missing or has no recordings, files cannot be read, naming them, or none
            is as long as a piece.
    """

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        rate: PositiveInt,
        length: PositiveInt = 16384,
        channels: PositiveInt = 1,
        pad: bool = True,
        name: str = "waveform_folder",
        classes: NonNegativeInt = 0,
    ) -> None:
        if channels not in (1, 2):
            raise ConfigError("CFG-VALUE", f"data.channels: {channels}; choose from [1, 2]")
        self.modality = Audio(rate)
        folder = Path(path)
        endings = sorted({*SUFFIXES.values()})
        files = sorted(find(folder, endings))
        if not files:
            raise DataError("DATA-EMPTY", f"{folder}: no recordings; they end in {' '.join(endings)}")
        pieces = [_cut(wave, length, pad) for wave in read_waveforms(folder, files, rate, channels)]
        if not any(len(piece) for piece in pieces):
            message = f"{folder}: no recording has {length} samples; lower data.length or say data.pad=true"
            raise DataError("DATA-EMPTY", message)
        shares = np.repeat([tenth(file) for file in files], [len(piece) for piece in pieces])
        stored = torch.from_numpy(np.concatenate(pieces))
        splits = (Split(stored[part], None) for part in divided(torch.from_numpy(shares)))
        super().__init__(name, shape, *splits, classes=classes)


def _cut(wave: np.ndarray, length: int, pad: bool) -> np.ndarray:
    """Pieces ``[N, C, length]`` of a recording ``[C, T]``."""
    channels, total = wave.shape
    pieces = -(-total // length) if pad else total // length
    fitted = np.pad(wave, ((0, 0), (0, max(0, pieces * length - total))))[:, : pieces * length]
    return fitted.reshape(channels, pieces, length).swapaxes(0, 1)
