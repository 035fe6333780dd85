"""Frechet distance."""

from typing import ClassVar

from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from stable_diffusion_lab.metric.base import Metric


class Frechet(Metric):
    """Squared Wasserstein-2 distance between Gaussians fitted to the features (Heusel et al. 2017, eq. 6).

    Biased upwards by about 1/n: compare values of equal sample counts, next to their floor. It does not
    see memorisation.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"fd": False}

    def least(self, feature_dim: int) -> int:
        return feature_dim + 1  # else the covariance is singular whatever the samples are

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        # Ranks have been gathered already, so torchmetrics must not synchronise them again.
        distance = FrechetInceptionDistance(_Given(real.shape[1]), sync_on_compute=False)
        distance.set_dtype(real.dtype)
        distance.update(real, real=True)
        distance.update(generated, real=False)
        return {"fd": distance.compute().item()}


class _Given(nn.Module):
    """Stands where torchmetrics has its feature network: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
