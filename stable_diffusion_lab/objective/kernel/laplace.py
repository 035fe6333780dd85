"""The Laplacian kernel: a sharp peak and a tail that reaches far."""

from torch import Tensor

from stable_diffusion_lab.objective.kernel.base import Kernel


class Laplace(Kernel):
    """k(r) = exp(-r), k#(r) = (1 + r) exp(-r)."""

    def log_value(self, r: Tensor) -> Tensor:
        return -r

    def log_sharp(self, r: Tensor) -> Tensor:
        return r.log1p() - r
