"""How good speech sounds."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.extra import extra
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.fidelity.waveform import refuse_others

MODES = {8000: "nb", 16000: "wb"}  # narrow band of P.862, wide band of P.862.2
LEAST = 0.25  # seconds
WORST = 1.0  # on the scale of opinions


class PESQ(Fidelity):
    """Perceptual evaluation of speech quality, 1 to 4.64 (ITU-T P.862), by the package pesq.

    The mean over channels. Computed on the CPU, one sample after another. Where it finds no speech in a
    restored sample, or none in the original, that counts 1.

    Args:
        rate: samples per second: 8,000 for narrow band, 16,000 for wide band.

    Raises:
        ConfigError: if pesq is not installed, or does not know the rate.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"pesq": True}

    def __init__(self, rate: PositiveInt) -> None:
        self.library = extra("pesq", "pesq", "fidelity.pesq")
        if rate not in MODES:
            raise ConfigError("CFG-VALUE", f"fidelity.pesq.rate: {rate}; it is for {sorted(MODES)} Hz")
        self.rate = rate

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        refuse_others(clean, "pesq")
        seconds = clean.shape[2] / self.rate
        if seconds < LEAST:
            message = f"samples have {seconds:.2f} s, and it needs {LEAST} s; leave it out"
            raise ConfigError("CFG-FIT", f"fidelity.pesq: {message}")
        original, found = (x.detach().flatten(0, 1).float().cpu().numpy() for x in (clean, restored))
        scores = self.library.pesq_batch(
            self.rate, original, found, MODES[self.rate], on_error=self.library.PesqError.RETURN_VALUES
        )
        values = torch.tensor(scores).nan_to_num(WORST).clamp_min(WORST).to(clean)
        return {"pesq": values.unflatten(0, clean.shape[:2]).mean(dim=1)}
