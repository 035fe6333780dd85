"""Few pixels."""

from torch import Tensor
from torch.nn import functional as F

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.task.damage.projection import Projection


class Downsampling(Projection):
    """Every square of pixels becomes their mean, repeated, so that images keep their size.

    Squares that reach beyond the right or lower edge become the mean of what is there.

    Args:
        factor: side of the squares in pixels.

    Raises:
        ConfigError: if a square is larger than the images.
    """

    directions = frozenset({2})

    def __init__(self, factor: PositiveInt) -> None:
        self.grid = factor

    def keep(self, sample: Tensor) -> Tensor:
        height, width = sample.shape[2:]
        if self.grid > min(height, width):
            raise self.unfit(sample, f"takes squares of {self.grid} pixels")
        mean = F.avg_pool2d(sample, self.grid, ceil_mode=True, count_include_pad=False)
        whole = mean.repeat_interleave(self.grid, 2).repeat_interleave(self.grid, 3)
        return whole[:, :, :height, :width]
