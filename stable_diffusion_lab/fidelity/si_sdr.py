"""Distortion of a waveform, whatever its loudness."""

from typing import ClassVar

from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.fidelity.waveform import refuse_others
from stable_diffusion_lab.layer.widen import widen

MOST = 100.0  # dB; more than float32 can tell


class SISDR(Fidelity):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 2-3), by torchmetrics.

    The mean over channels. Within 100 dB of zero, so that exact copies and silence leave averages finite.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"si_sdr": True}

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        refuse_others(clean, "si_sdr")
        ratio = scale_invariant_signal_distortion_ratio(widen(restored), widen(clean))
        return {"si_sdr": ratio.clamp(-MOST, MOST).mean(dim=1)}
