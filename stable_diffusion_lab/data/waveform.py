"""Reading sound files."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from stable_diffusion_lab.data.folder import whole
from stable_diffusion_lab.file.sound import soundfile
from stable_diffusion_lab.modality.audio import FULL

VALUE_LIMIT = 200_000_000  # frames times channels of one file


def read_waveforms(folder: Path, files: Sequence[str], rate: int, channels: int) -> list[np.ndarray]:
    """Recordings ``[channels, T]`` int16, each as long as it is.

    Args:
        folder: where the files lie.
        files: their paths inside it.
        rate: samples per second; others are resampled (a polyphase filter).
        channels: 1 takes the mean of all channels, 2 takes a mono file for both.

    Raises:
        DataError: naming the files that are unreadable, empty, cut off or not finite.
        ConfigError: if the library that reads them is absent.
    """
    library = soundfile()

    def attempt(file: str) -> np.ndarray | str:
        try:
            return _read(library, folder / file, rate, channels)
        except (OSError, ValueError, library.SoundFileError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return f"{file}: {reason.rpartition(': ')[2] if 'opening' in reason else reason}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(attempt, files))
    return whole(results, "DATA-AUDIO", folder, "recordings")


def _read(library: Any, path: Path, rate: int, channels: int) -> np.ndarray:
    """One recording as ``[channels, T]`` int16."""
    if path.stat().st_size == 0:
        raise ValueError("empty file")
    with library.SoundFile(path) as file:
        if file.frames * file.channels > VALUE_LIMIT:
            size = f"{file.frames} x {file.channels} channels"
            raise ValueError(f"{size}, limit {VALUE_LIMIT / 1e6:.0f} M values")
        values, promised = file.read(dtype="float64", always_2d=True), _promised(file)
        found = file.samplerate
    if promised > len(values):
        raise ValueError(f"the header promises {promised} frames, there are {len(values)}")
    if len(values) == 0:
        raise ValueError("no frames")
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    common = gcd(rate, found)
    mixed = _mix(values, channels)
    if found != rate:
        mixed = resample_poly(mixed, rate // common, found // common)
    return (mixed * FULL).round().clip(-FULL, FULL - 1).astype(np.int16).T


def _promised(file: Any) -> int:
    """How many frames the header says there are. Of a WAV file only the reader's log tells that it is cut."""
    lie = re.search(r"^data\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.M)
    return int(file.frames) if lie is None else int(file.frames) * int(lie[1]) // max(1, int(lie[2]))


def _mix(values: np.ndarray, channels: int) -> np.ndarray:
    """Frames ``[T, found]`` with so many channels, ``[T, channels]``."""
    found = values.shape[1]
    if channels == 1:
        return values.mean(axis=1, keepdims=True)
    if found not in (1, channels):
        raise ValueError(f"{found} channels, wanted {channels}")
    return values.repeat(channels // found, axis=1)
