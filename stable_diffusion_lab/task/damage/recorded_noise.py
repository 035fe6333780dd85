"""Noise that was recorded somewhere."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.folder import find
from stable_diffusion_lab.file.sound_file import read_mixed
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion
from stable_diffusion_lab.task.damage.loudness import disturbed


class RecordedNoise(Distortion):
    """Waveforms with pieces of recordings added at a signal-to-noise ratio, uniform in dB.

    All recordings are kept in memory, one after another in the order of their names, mixed down to one
    channel. They are read when the first samples are to be damaged, for whoever only opens a run has no need
    of them. A piece begins anywhere and may go on into the next recording, and every channel of a waveform
    gets the same.

    Args:
        path: folder with WAV files, also in folders below it; hidden ones are left out.
        rate: samples per second of the waveforms; recordings at others are resampled (a polyphase filter).
        lowest: least ratio in dB, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``.
    """

    directions = frozenset({1})

    def __init__(self, path: str, rate: PositiveInt, lowest: float, highest: float) -> None:
        self.path = path
        self.rate = rate
        self.ratio = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        """Raises as ``recordings`` does."""
        noises = recordings(self.path, self.rate)
        ratio = self.ratio.each(sample, rng)
        total = len(noises)
        start = torch.randint(total, (len(sample), 1), generator=rng)
        piece = noises[(start + torch.arange(sample.shape[2])) % total]
        noise = piece[:, None].to(sample, non_blocking=True).expand_as(sample)
        return disturbed(sample, noise, ratio)


@lru_cache(maxsize=1)  # a pair and its running average have a damage each
def recordings(path: str, rate: int) -> Tensor:
    """All recordings below a folder one after another, ``[T]`` float32 at a rate.

    Raises:
        ConfigError: if soundfile is not installed.
        DataError: if there is no such folder or no WAV file in it, or one cannot be read or is silent
            throughout, naming it.
    """
    folder, key = Path(path), "damage.recorded_noise.path"
    files = sorted(find(folder, {".wav"}, key))
    if not files:
        raise DataError("DATA-EMPTY", f"{path}: no WAV files; set {key}")
    return torch.from_numpy(np.concatenate([_read(folder / file, rate) for file in files]))


def _read(path: Path, rate: int) -> np.ndarray:
    """One recording ``[T]`` float32 at a rate."""
    try:
        mono = read_mixed(path, rate, channels=1)[:, 0].astype(np.float32)
    except DataError as error:
        raise DataError(error.tag, f"{error.args[0]}; remove or replace it") from error
    if not mono.any():
        raise DataError("DATA-SOUND", f"{path}: silent; remove or replace it")
    return mono
