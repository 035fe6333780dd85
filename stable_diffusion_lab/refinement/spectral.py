"""What the refiner's reconstructions sound like."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt, Some
from stable_diffusion_lab.layer.spectrum import Magnitude
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective


class Spectral(Objective):
    """Multi-resolution STFT loss of reconstructions (Yamamoto et al. 2020, eq. 3 to 6); for the refiner.

    At each resolution the relative error of magnitudes (spectral convergence, here of each sample by itself)
    and the mean absolute error of their logarithms, to the base e; the mean over resolutions. Phases count
    only as far as windows of other lengths see them. The last axis of a sample is time.

    Args:
        sizes: of the windows, in samples.
        weight: of the whole, beside other objectives of the refiner.
        floor: magnitude, with a sinusoid of amplitude 1 at 1, below which everything is silence.
    """

    def __init__(
        self,
        sizes: Some[PositiveInt] = (64, 256, 1024),
        weight: PositiveFloat = 1.0,
        floor: PositiveFloat = 1e-3,
    ) -> None:
        super().__init__()
        self.magnitudes = nn.ModuleList(Magnitude(size, floor=floor) for size in sizes)
        self.weight = weight

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        clean = batch.clean
        made = model.refiner.decode(model.refiner.encode(clean).sample())
        parts = [stft_loss(magnitude(made), magnitude(clean)) for magnitude in self.magnitudes]
        return {"refiner": self.weight * torch.stack(parts).mean()}


def stft_loss(made: Tensor, real: Tensor) -> Tensor:
    """Spectral convergence plus log-magnitude error of positive magnitudes ``[B, ...]``; a scalar."""
    error, size = (made - real).flatten(1).norm(dim=1), real.flatten(1).norm(dim=1)
    return (error / size).mean() + (made.log() - real.log()).abs().mean()
