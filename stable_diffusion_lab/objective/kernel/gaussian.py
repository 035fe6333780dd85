"""The Gaussian kernel, which is its own companion."""

from torch import Tensor

from stable_diffusion_lab.objective.kernel.base import Kernel


class Gaussian(Kernel):
    """k(r) = k#(r) = exp(-r^2 / 2)."""

    def log_value(self, r: Tensor) -> Tensor:
        return -r.square() / 2

    def log_sharp(self, r: Tensor) -> Tensor:
        return self.log_value(r)
