"""Entry by entry."""

from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.distance.base import Distance


class Power(Distance):
    """mean |x - y|^p over all entries.

    With p = 2 the best answer is the mean of what is possible, nearest in squared error and blurred where
    much is possible; with p = 1 it is the median.

    Args:
        power: p, 1 or more.

    Raises:
        ConfigError: if it is less, where the slope is infinite between equal entries.
    """

    def __init__(self, power: PositiveFloat) -> None:
        super().__init__()
        if power < 1:
            raise ConfigError("CFG-VALUE", f"distance.power: {power}; wants >= 1")
        self.power = power

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        return (restored - clean).abs().pow(self.power).mean()
