"""The refiner's own learning: variational evidence of real data."""

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
        noise_scale: size of the corruption: of numbers the standard deviation of Gaussian noise, in units of
            the range [-1, 1]; of text the share of tokens that are replaced (see ``Refiner.corrupt``).
        free_bits: nats of the rate, on average over the batch, that cost nothing: a cure for posterior
            collapse (Kingma et al. 2016, appendix C, with all latents in one group).
    """

    def __init__(self, noise_scale: NonNegativeFloat = 0.0, free_bits: NonNegativeFloat = 0.0) -> None:
        super().__init__()
        self.noise_scale = noise_scale
        self.free_bits = free_bits

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        clean = batch.clean
        distortion, rate = model.refiner.bound(clean, model.refiner.corrupt(clean, self.noise_scale))
        size = model.refiner.count(clean).mean()
        return {
            "refiner/distortion": distortion.mean() / size,
            "refiner/rate": rate.mean().clamp_min(self.free_bits) / size,
        }
