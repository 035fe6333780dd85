"""How alike two points are, by their distance."""

from abc import ABC, abstractmethod

from torch import Tensor

from stable_diffusion_lab.layer.smallest import smallest_log


class Kernel(ABC):
    """A radial kernel k of width 1, and the sharp companion k# whose slope it is.

        k#(r) = integral from r to infinity of s k(s) ds,   so   grad_x k#(|x - y|) = k(|x - y|) (y - x).

    Both are given as logarithms, of distances of any shape, r >= 0. They are finite, and so are their
    derivatives, zero included.
    """

    @abstractmethod
    def log_value(self, r: Tensor) -> Tensor:
        """log k(r), with k(0) = 1."""

    @abstractmethod
    def log_sharp(self, r: Tensor) -> Tensor:
        """log k#(r).

        Raises:
            ConfigError: if the integral is infinite.
        """

    def value(self, r: Tensor) -> Tensor:
        """k(r), held above what a product of two could not represent."""
        return self.log_value(r).clamp_min(smallest_log(r.dtype)).exp()
