"""Structural similarity."""

from typing import ClassVar

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.fidelity.base import Fidelity


class SSIM(Fidelity):
    """Structural similarity of images (Wang et al. 2004) over the range [-1, 1], by torchmetrics.

    Windows are Gaussian, 11 pixels wide with a standard deviation of 1.5, as in the paper.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"ssim": True}

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        if clean.dim() != 4:
            found = list(clean.shape[1:])
            raise ConfigError("CFG-FIT", f"fidelity.ssim: samples are {found}, no images; leave it out")
        values = structural_similarity_index_measure(
            restored, clean, data_range=(-1.0, 1.0), reduction="none"
        )
        assert isinstance(values, Tensor)
        return {"ssim": values}
