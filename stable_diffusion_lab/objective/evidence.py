"""The refiner's own learning: variational evidence of real data."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective


class Evidence(Objective):
    """Negative evidence lower bound of real data, per dimension of a sample (see ``Refiner.bound``).

    It has two parts, which an adaptation can weigh by themselves: distortion, how badly a sample is
    explained, and rate, how much the posterior has to say for that. Their sum is the bound.

    With noise it is the denoising criterion (Im et al. 2017, eq. 5): the encoder sees a corrupted sample
    and the decoder explains the clean one, so that the refiner learns to correct. How sharp against how
    regular is the refiner's ``decoder_scale``, the one dial.

    Args:
        noise_scale: standard deviation of the Gaussian corruption, in units of the range [-1, 1].
    """

    def __init__(self, noise_scale: NonNegativeFloat = 0.0) -> None:
        super().__init__()
        self.noise_scale = noise_scale

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        clean = batch.clean
        observed = clean + self.noise_scale * torch.randn_like(clean) if self.noise_scale else clean
        distortion, rate = model.refiner.bound(clean, observed)
        return {
            "refiner/distortion": distortion.mean() / clean[0].numel(),
            "refiner/rate": rate.mean() / clean[0].numel(),
        }
