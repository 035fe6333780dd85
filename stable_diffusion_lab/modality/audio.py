"""Waveforms: 16 bit in store, [-1, 1] for networks, log-spectrograms to look at, WAV files to listen to."""

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.file.base import MaskSpec, Reader
from stable_diffusion_lab.file.sound import SoundReader
from stable_diffusion_lab.file.sound_file import soundfile
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import grid

FULL = 2**15  # what stands for 1; libsndfile's own scale
WINDOW = 256  # of the pictures' spectrograms
SIZE = (128, 96)  # width and height of one of them, in pixels
RANGE = 80.0  # decibels from black to white


class Audio(Modality):
    """``[N, C, T]`` with one or two channels, stored as int16.

    Args:
        rate: samples per second.
    """

    noun = "recordings"
    entry = "value"
    crowd = 16
    suffix = ".wav"
    apart = 4

    def __init__(self, rate: PositiveInt) -> None:
        self.rate = rate

    def node(self) -> dict[str, Any]:
        return {**super().node(), "rate": self.rate}

    def to_sample(self, stored: Tensor) -> Tensor:
        return stored.float() / FULL

    def to_stored(self, sample: Tensor) -> Tensor:
        """Rounded and clamped."""
        return (sample * FULL).round().clamp(-FULL, FULL - 1).to(torch.int16)

    def array(self, stored: Tensor) -> numpy.ndarray:
        """N x T for mono and N x T x C for others, int16."""
        last = stored.transpose(1, 2)
        return (last.squeeze(2) if last.shape[2] == 1 else last).numpy()

    def panel(self, stored: Tensor) -> Image.Image:
        """A square grid of log-magnitude spectrograms of the first channels, low frequencies below.

        White is the loudest that a tone can be, black is 80 dB below or less.
        """
        pictures = torch.stack([_spectrogram(each) for each in self.to_sample(stored)[:, 0]])
        return grid(pictures[:, None], columns=math.isqrt(len(stored) - 1) + 1)

    def files(self, stored: Tensor) -> Iterable[bytes]:
        """WAV files, 16 bit.

        Raises:
            ConfigError: if the library that writes them is absent.
        """
        library = soundfile()  # now, and not when the first file is asked for
        return (_wav(library, each, self.rate) for each in stored)

    def reader(self, shape: tuple[int, ...], mask: MaskSpec) -> Reader:
        return SoundReader(shape, self.rate, mask)


def _wav(library: Any, stored: Tensor, rate: int) -> bytes:
    """The bytes of a WAV file with one recording ``[C, T]``."""
    buffer = io.BytesIO()
    library.write(buffer, stored.T.numpy(), rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def _spectrogram(wave: Tensor) -> Tensor:
    """A picture ``[height, width]`` uint8 of a waveform ``[T]``."""
    window = torch.hann_window(WINDOW)
    hop = max(1, len(wave) // SIZE[0])
    spectrum = torch.stft(
        wave, WINDOW, hop, window=window, pad_mode="constant", return_complex=True
    ).abs() / (window.sum() / 2)
    decibels = 20 * spectrum.clamp_min(1e-10).log10()
    grey = 255 * (1 + decibels / RANGE).clamp(0, 1).flip(0)
    picture = Image.fromarray(grey.round().to(torch.uint8).numpy())
    return torch.from_numpy(numpy.array(picture.resize(SIZE, Image.Resampling.BILINEAR)))
