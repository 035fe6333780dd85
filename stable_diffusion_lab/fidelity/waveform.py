"""What measures of waveforms have in common."""

from torch import Tensor

from stable_diffusion_lab.error import ConfigError


def refuse_others(clean: Tensor, name: str) -> None:
    """Take waveforms ``[B, C, T]`` and nothing else.

    Raises:
        ConfigError: names the fidelity and the shape.
    """
    if clean.dim() != 3:
        message = f"samples are {list(clean.shape[1:])}, no waveforms [C, T]; leave it out"
        raise ConfigError("CFG-FIT", f"fidelity.{name}: {message}")
