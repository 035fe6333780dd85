"""What VAEs of two stacks of layers have in common."""

from torch import Tensor, nn

from stable_diffusion_lab.layer.activations import activations
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner


class Sequential(Refiner):
    """A Gaussian posterior from one stack, the mean of p(x | h) from the other; SiLU between layers."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(*self.encoder(x).chunk(2, dim=1))

    def features(self, x: Tensor) -> list[Tensor]:
        *hidden, last = activations(self.encoder, x, nn.SiLU)
        return [*hidden, last.chunk(2, dim=1)[0]]

    def decode(self, h: Tensor) -> Tensor:
        return self.decoder(h)
