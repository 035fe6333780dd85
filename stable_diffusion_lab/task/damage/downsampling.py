"""Few pixels."""

from torch import Tensor
from torch.nn import functional as F

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.task.damage.projection import Projection


class Downsampling(Projection):
    """Every square of pixels becomes their mean, repeated, so that images keep their size.

    Args:
        factor: side of the squares in pixels.

    Raises:
        ConfigError: where it does not divide height and width.
    """

    directions = frozenset({2})

    def __init__(self, factor: PositiveInt) -> None:
        self.factor = factor

    def keep(self, sample: Tensor) -> Tensor:
        if any(side % self.factor for side in sample.shape[2:]):
            raise self.unfit(sample, f"divides height and width by {self.factor}")
        mean = F.avg_pool2d(sample, self.factor)
        return mean.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
