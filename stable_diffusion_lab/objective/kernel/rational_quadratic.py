"""The rational quadratic kernel: Gaussians of all widths at once."""

import math

from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.kernel.base import Kernel


class RationalQuadratic(Kernel):
    """k(r) = (1 + r^2 / (2 alpha))^-alpha, k#(r) = alpha / (alpha - 1) (1 + r^2 / (2 alpha))^(1 - alpha).

    Rasmussen & Williams (2006), eq. 4.19.

    Args:
        alpha: how fast the tail falls; Gaussian for alpha to infinity. Only alpha > 1 has a companion.
    """

    def __init__(self, alpha: PositiveFloat = 2.0) -> None:
        self.alpha = alpha

    def log_value(self, r: Tensor) -> Tensor:
        return -self.alpha * self.log_base(r)

    def log_sharp(self, r: Tensor) -> Tensor:
        if self.alpha <= 1:
            raise ConfigError(
                "CFG-VALUE", f"kernel.alpha: {self.alpha} gives no sharp companion; choose more than 1"
            )
        return math.log(self.alpha / (self.alpha - 1)) + (1 - self.alpha) * self.log_base(r)

    def log_base(self, r: Tensor) -> Tensor:
        """log(1 + r^2 / (2 alpha))."""
        return (r.square() / (2 * self.alpha)).log1p()
