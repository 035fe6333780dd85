"""Reading sound files."""

import re
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import resample_poly

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.extra import extra

# How numbers are read so that they come back as they were, and what stands for 1.
NUMBERS = {
    "PCM_U8": ("int16", 2**15),
    "PCM_S8": ("int16", 2**15),
    "PCM_16": ("int16", 2**15),
    "PCM_24": ("int32", 2**31),
    "PCM_32": ("int32", 2**31),
    "FLOAT": ("float32", 1),
}
SUFFIXES = {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac"}
VALUE_LIMIT = 200_000_000  # frames times channels of one file


class Recording(NamedTuple):
    """What a sound file holds.

    Attributes:
        values: ``[T, C]``, int16, int32, float32 or float64.
        rate: samples per second.
        container: as libsndfile calls it.
        subtype: how numbers are stored.
        notes: title, artist and the like.
    """

    values: np.ndarray
    rate: int
    container: str
    subtype: str
    notes: dict[str, str]


def soundfile(where: str = "sound files") -> Any:
    """The library that reads and writes sound files.

    Raises:
        ConfigError: if it is absent.
    """
    return extra("soundfile", "audio", where)


def read(path: Path) -> Recording:
    """One recording, numbers as they are stored.

    Raises:
        DataError: if there is none, or it cannot be restored without loss.
        ConfigError: if the library that reads it is absent.
    """
    return _open(path, stored=True)


def read_mixed(path: Path, rate: int, channels: int) -> np.ndarray:
    """One recording, float64 ``[T, channels]`` with 1 for the loudest that whole numbers can say.

    Args:
        path: the file.
        rate: samples per second; others are resampled (a polyphase filter).
        channels: 1 takes the mean of all channels, 2 takes a mono file for both.

    Raises:
        DataError: if it is unreadable, empty, cut off, not finite or has other channels.
        ConfigError: if the library that reads it is absent.
    """
    values, found, *_ = _open(path, stored=False)
    if channels == 1:
        values = values.mean(axis=1, keepdims=True)
    elif values.shape[1] not in (1, channels):
        raise DataError("DATA-SOUND", f"{path}: {values.shape[1]} channels, wanted {channels}")
    values = values.repeat(channels // values.shape[1], axis=1)
    common = gcd(rate, found)
    return values if found == rate else resample_poly(values, rate // common, found // common)


def _open(path: Path, stored: bool) -> Recording:
    """One recording, as it is stored or as float64."""
    library = soundfile()
    try:
        if path.stat().st_size == 0:
            raise ValueError("empty file")
        with library.SoundFile(path) as file:
            if file.frames * file.channels > VALUE_LIMIT:
                size = f"{file.frames} x {file.channels} channels"
                raise ValueError(f"{size}, limit {VALUE_LIMIT / 1e6:.0f} M values")
            values = file.read(dtype=_number(file) if stored else "float64", always_2d=True)
            _complete(file, values)
            return Recording(values, file.samplerate, file.format, file.subtype, file.copy_metadata())
    except (OSError, ValueError, library.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
        raise DataError("DATA-SOUND", f"{path}: {reason.rstrip('.')}") from error


def _number(file: Any) -> str:
    """The type that holds a file's numbers as they are stored."""
    if file.format not in SUFFIXES or file.subtype not in NUMBERS:
        raise ValueError(f"{file.format} {file.subtype}; save it as WAV or FLAC with 16 or 24 bits")
    if "Unknown chunk marker" in file.extra_info:  # of a WAV file whose header says less than there is
        raise ValueError("bytes that the header does not tell of come after the sound; save it anew")
    return NUMBERS[file.subtype][0]


def _complete(file: Any, values: np.ndarray) -> None:
    """Refuse what is not all there. Of a WAV file only the reader's log tells that it is cut."""
    lie = re.search(r"^data\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.M)
    frames = int(file.frames)
    promised = frames if lie is None else -(-frames * int(lie[1]) // max(1, int(lie[2])))
    if promised > len(values):
        raise ValueError(f"the header promises {promised} frames, there are {len(values)}")
    if len(values) == 0:
        raise ValueError("holds no sound")
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinity, which has to be repaired first")
