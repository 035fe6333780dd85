"""Noise that was recorded somewhere."""

from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.layer.extra import extra
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
        path: folder with WAV files, also in folders below it.
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
        DataError: if there are no WAV files, or one cannot be read or is silent throughout, naming it.
    """
    files = sorted(file for file in Path(path).expanduser().rglob("*") if file.suffix.lower() == ".wav")
    if not files:
        raise DataError("DATA-EMPTY", f"{path}: no WAV files; set damage.recorded_noise.path")
    library = extra("soundfile", "audio", "damage.recorded_noise")
    return torch.from_numpy(np.concatenate([_read(library, file, rate) for file in files]))


def _read(library: Any, file: Path, rate: int) -> np.ndarray:
    """One recording ``[T]`` float32 at a rate."""
    try:
        values, found = library.read(file, dtype="float32", always_2d=True)
    except (OSError, ValueError, library.SoundFileError) as error:
        reason = str(error).splitlines()[-1]
        raise DataError("DATA-AUDIO", f"{file}: unreadable ({reason}); remove or replace it") from error
    mono = values.mean(axis=1)
    if not np.isfinite(mono).all() or not mono.any():
        raise DataError("DATA-AUDIO", f"{file}: silent, empty or not finite; remove or replace it")
    common = gcd(rate, found)
    return mono if found == rate else resample_poly(mono, rate // common, found // common)
