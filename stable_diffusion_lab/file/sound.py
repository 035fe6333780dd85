"""Sound files: WAV and FLAC of any length, written so that what is known stays bit-equal."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.file.base import MaskSpec, Opened, Reader
from stable_diffusion_lab.file.sound_file import NUMBERS, SUFFIXES, Recording, read, soundfile


class SoundReader(Reader):
    """Opens recordings for pairs of waveforms.

    Args:
        shape: of one sample of the pair, ``(C, T)``.
        rate: samples per second that the pair has learnt.
        mask: the name of a recording as long as the other, in which everything that is not silent is lost;
            ``[start, length]`` in seconds, or the same as text; ``None`` or ``auto`` for nothing.

    Raises:
        ConfigError: if ``mask`` is none of these, or the library that reads the files is absent.
    """

    noun = "recordings"
    suffixes = frozenset(SUFFIXES.values())

    def __init__(self, shape: tuple[int, ...], rate: int, mask: MaskSpec) -> None:
        self.channels = shape[0]
        self.rate = rate
        self.lost = _masker(mask)
        soundfile()

    def open(self, path: Path) -> "Sound":
        recording = read(path)
        channels, rate = recording.values.shape[1], recording.rate
        if (channels, rate) != (self.channels, self.rate):
            wanted = f"{self.channels} at {self.rate} Hz"
            message = f"{path}: {channels} channels at {rate} Hz, the run wants {wanted}; convert it"
            raise DataError("DATA-SOUND", message)
        return Sound(path, recording, self.lost(path, recording))


class Sound(Opened):
    """One recording.

    Args:
        path: for messages.
        recording: as ``sound_file.read`` gives it.
        lost: when it is lost, ``[T]`` bool.
    """

    masks = "mask=<recording> or mask=[start,length] in seconds"

    def __init__(self, path: Path, recording: Recording, lost: np.ndarray) -> None:
        self.path = path
        self.recording = recording
        self.suffix = SUFFIXES[recording.container]
        _, self.full = NUMBERS[recording.subtype]
        values = torch.from_numpy(recording.values.T.astype(np.float64) / self.full)
        self.whole = values.float()[None]
        self.seen = torch.from_numpy(~lost).float()[None, None]

    def encode(self, completed: Tensor, exact: Tensor) -> bytes:
        before = self.recording.values
        scaled = completed[0].T.double().numpy() * self.full
        if before.dtype.kind == "i":
            scaled = scaled.round().clip(-self.full, self.full - 1)
        keep = (exact[0, 0] > 0).numpy()[:, None]
        after = np.where(keep, before, scaled.astype(before.dtype))
        library, buffer = soundfile(), io.BytesIO()
        _, rate, container, subtype, notes = self.recording
        with library.SoundFile(buffer, "w", rate, after.shape[1], subtype, format=container) as file:
            for key, note in notes.items():
                setattr(file, key, note)
            file.write(after)
        return buffer.getvalue()

    def view(self, samples: Tensor) -> Tensor:
        return samples.flatten(1, 2)

    def spread(self, completed: Tensor) -> Tensor:
        """What the first completion has that their mean has not: its spectrogram shows where they differ."""
        return completed[:1] - completed.mean(dim=0, keepdim=True)


Masker = Callable[[Path, Recording], np.ndarray]


def _masker(mask: MaskSpec) -> Masker:
    """What finds the lost times ``[T]`` of a recording, which it is given with its path."""
    if mask is None or mask == "auto":
        return lambda path, recording: np.zeros(len(recording.values), dtype=bool)
    number = r"\s*-?\d+(\.\d*)?\s*"
    if isinstance(mask, str) and not re.fullmatch(f"{number}(,{number})*", mask):
        return lambda path, recording: _sounding(Path(mask), path, recording)
    span = [float(part) for part in (mask.split(",") if isinstance(mask, str) else mask)]
    if len(span) != 2 or span[0] < 0 or span[1] <= 0:
        raise ConfigError("CFG-VALUE", f"mask: {mask} is no span; say mask=[start,length] in seconds")
    return lambda path, recording: _span(span[0], span[1], path, recording)


def _span(start: float, length: float, path: Path, recording: Recording) -> np.ndarray:
    total, rate = len(recording.values), recording.rate
    first, last = round(start * rate), round((start + length) * rate)
    if last > total:
        whole = f"{total / rate:g} seconds"
        raise DataError("DATA-MASK", f"{path}: mask [{start:g},{length:g}] reaches beyond its {whole}")
    lost = np.zeros(total, dtype=bool)
    lost[first:last] = True
    return lost


def _sounding(mask: Path, path: Path, recording: Recording) -> np.ndarray:
    """When another recording is not silent."""
    try:
        found = read(mask)
    except DataError as error:
        raise DataError(error.tag, f"mask: {error.args[0]}") from error
    sizes = [(len(it.values), it.rate) for it in (found, recording)]
    if sizes[0] != sizes[1]:
        has, wants = (f"{length} samples at {rate} Hz" for length, rate in sizes)
        raise DataError("DATA-MASK", f"{path}: the mask {mask} has {has}, the recording {wants}")
    return (found.values != 0).any(axis=1)
