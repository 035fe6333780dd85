"""How far spectra are apart."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.fidelity.waveform import refuse_others
from stable_diffusion_lab.layer.widen import widen

LEAST = 1e-10  # of a power, where that of the loudest tone is 1: -100 dB, below the step of 16 bits


class LogSpectralDistance(Fidelity):
    """Root mean square difference of power spectra in dB, the mean over frames (Gray & Markel 1976).

    For frames t and frequencies f of short-time spectra S with a Hann window, a quarter of it apart,

        mean_t sqrt(mean_f (10 log10 |S(t, f)|^2 - 10 log10 |S'(t, f)|^2)^2)

    and the mean over channels. Powers below -100 dB count as that.

    Args:
        window: length in samples.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"lsd": False}

    def __init__(self, window: PositiveInt = 512) -> None:
        self.window = window

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        refuse_others(clean, "log_spectral_distance")
        difference = self.decibel(restored) - self.decibel(clean)
        distance = difference.square().mean(dim=2).sqrt()  # [B, C, frames]
        return {"lsd": distance.mean(dim=(1, 2))}

    def decibel(self, x: Tensor) -> Tensor:
        """Powers of ``[B, C, T]`` in dB, ``[B, C, frequencies, frames]``; 0 dB for a tone of amplitude 1."""
        shape = torch.hann_window(self.window, device=x.device)
        spectrum = torch.stft(
            widen(x).flatten(0, 1),
            self.window,
            max(1, self.window // 4),
            window=2 * shape / shape.sum(),
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.abs().square().clamp_min(LEAST)
        return (10 * power.log10()).unflatten(0, x.shape[:2])
