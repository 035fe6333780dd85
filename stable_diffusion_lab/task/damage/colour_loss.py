"""No colours."""

from torch import Tensor

from stable_diffusion_lab.layer.numbers import numbers
from stable_diffusion_lab.task.damage.projection import Projection

LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601, as Pillow and JPEG have it


class ColourLoss(Projection):
    """Red, green and blue each become the image's luma, so that it keeps its channels.

    Raises:
        ConfigError: where images do not have three channels.
    """

    directions = frozenset({2})
    merges = True

    def keep(self, sample: Tensor) -> Tensor:
        if sample.shape[1] != len(LUMA):
            raise self.unfit(sample, "is for images with colours, [3, H, W]")
        weight = numbers(LUMA, sample)[:, None, None]
        return (weight * sample).sum(dim=1, keepdim=True).expand_as(sample)
