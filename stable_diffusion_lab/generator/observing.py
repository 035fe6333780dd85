"""Generators that look at damaged samples."""

from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.generator.base import Generator


class Observing(Generator):
    """Two hidden layers hear the noise; where nothing is observed there is an observation of nothing.

    Args:
        noise_dim: width of the noise vector.
        shape: of one sample, channels first.
        hidden_dim: width of the layers that the noise passes.
    """

    observes = True

    def __init__(self, noise_dim: int, shape: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__(noise_dim, shape)
        self.hear = nn.Sequential(
            nn.Linear(noise_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, hidden_dim), nn.SiLU()
        )

    def nothing(self, noise: Tensor) -> Observation:
        """An observation of nothing for each row of noise."""
        blank = noise.new_zeros(len(noise), 1, *self.shape[1:])
        return Observation(noise.new_zeros(len(noise), *self.shape), blank, blank)
