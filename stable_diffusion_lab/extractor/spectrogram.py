"""The judge's ear: waveforms as log-mel spectrograms, which networks of images then look at."""

from collections.abc import Callable

from torch import nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.spectrum import LogMel

BANDS = 40
WINDOW = 0.032  # seconds
HOP = 0.012


def listening_body(
    look: Callable[[tuple[int, ...], int, int], nn.Sequential],
    shape: tuple[int, ...],
    rate: int,
    channels: int,
    feature_dim: int,
) -> nn.Sequential:
    """``[B, *shape]`` to ``[B, feature_dim]``: a log-mel spectrogram, and a network that looks at it.

    Args:
        look: makes that network from the spectrogram's shape, ``channels`` and ``feature_dim``.
        shape: ``(C, T)`` of a waveform.
        rate: samples per second.
        channels: of the network's first convolution.
        feature_dim: width of a feature vector.

    Raises:
        ConfigError: if ``shape`` is not that of a waveform, or it is shorter than a quarter of a second.
    """
    if len(shape) != 2 or shape[1] < rate / 4:
        wants = "wants waveforms [C, T] of a quarter of a second or more"
        raise ConfigError("CFG-VALUE", f"extractor.shape: {list(shape)}; {wants}, at extractor.rate={rate}")
    size, hop = 2 * round(rate * WINDOW / 2), round(rate * HOP)
    image = (shape[0], BANDS, shape[1] // hop + 1)
    return nn.Sequential(LogMel(rate, BANDS, size, hop), *look(image, channels, feature_dim))
