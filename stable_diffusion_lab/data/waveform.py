"""Folders of recordings as samples."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stable_diffusion_lab.data.folder import whole
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.file.sound_file import read_mixed, soundfile
from stable_diffusion_lab.modality.audio import FULL


def read_waveforms(folder: Path, files: Sequence[str], rate: int, channels: int) -> list[np.ndarray]:
    """Recordings ``[channels, T]`` int16, each as long as it is.

    Args:
        folder: where the files lie.
        files: their paths inside it.
        rate: samples per second; others are resampled.
        channels: 1 takes the mean of all channels, 2 takes a mono file for both.

    Raises:
        DataError: naming the files that are unreadable, empty, cut off or not finite.
        ConfigError: if the library that reads them is absent.
    """
    soundfile()

    def attempt(file: str) -> np.ndarray | str:
        try:
            values = read_mixed(folder / file, rate, channels)
        except DataError as error:
            return f"{file}{error.args[0].removeprefix(str(folder / file))}"
        return (values * FULL).round().clip(-FULL, FULL - 1).astype(np.int16).T

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(attempt, files))
    return whole(results, "DATA-AUDIO", folder, "recordings")
