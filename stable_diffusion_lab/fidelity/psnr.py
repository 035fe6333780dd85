"""Squared error, everywhere and where nothing was seen."""

from typing import ClassVar

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.fidelity.base import Fidelity

_PEAK = 2.0  # width of the range [-1, 1]
_LEAST = (_PEAK / 255) ** 2 / 12  # what rounding to bytes leaves of an exact copy


class PSNR(Fidelity):
    """Peak signal-to-noise ratio 10 log10(4 / mean squared error) in dB, over the range [-1, 1].

    ``psnr`` is over the whole sample; ``psnr_in`` over what was not known exactly, which is the whole sample
    again where noise left nothing exact. An exact copy counts as one rounded to bytes, 58.9 dB, so that
    averages stay finite.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"psnr": True, "psnr_in": True}

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        square = (restored - clean).square()
        unknown = (1 - observed.exact).expand_as(square).flatten(1)
        everywhere, inside = square.flatten(1), square.flatten(1) * unknown
        error = inside.sum(dim=1) / unknown.sum(dim=1).clamp_min(1)
        return {"psnr": _decibel(everywhere.mean(dim=1)), "psnr_in": _decibel(error)}


def _decibel(error: Tensor) -> Tensor:
    return 10 * torch.log10(_PEAK**2 / error.clamp_min(_LEAST))
