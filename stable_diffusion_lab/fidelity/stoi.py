"""How well speech can be understood."""

from typing import ClassVar

from torch import Tensor
from torchmetrics.functional.audio import short_time_objective_intelligibility

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.extra import extra
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.fidelity.waveform import refuse_others

LEAST = 0.4  # seconds: 30 frames of 25.6 ms, half overlapping, of speech without its pauses


class STOI(Fidelity):
    """Short-time objective intelligibility (Taal et al. 2011), at most 1, by pystoi; the mean over channels.

    Computed on the CPU, one sample after another. Samples with less than 30 frames that are not pauses count
    1e-5, and pystoi warns of them.

    Args:
        rate: samples per second.

    Raises:
        ConfigError: if pystoi is not installed.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"stoi": True}

    def __init__(self, rate: PositiveInt) -> None:
        extra("pystoi", "audio", "fidelity.stoi")
        self.rate = rate

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        refuse_others(clean, "stoi")
        seconds = clean.shape[2] / self.rate
        if seconds < LEAST:
            message = f"samples have {seconds:.2f} s, and it needs {LEAST} s; leave it out"
            raise ConfigError("CFG-FIT", f"fidelity.stoi: {message}")
        values = short_time_objective_intelligibility(restored.float(), clean.float(), self.rate)
        return {"stoi": values.to(clean).mean(dim=1)}
