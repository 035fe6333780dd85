"""A generator of texts that draws one token after another."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.generator.tokens import Tokens


class Recurrent(Tokens):
    """A GRU that writes from noise, and reads each token that it has drawn before it draws the next.

    The recurrent generator of GANs for text (SeqGAN, Yu et al. 2017), which sees at each place how its own
    draws came out, not only how probable they were. Its gradient passes through the draws, as in Kusner &
    Hernández-Lobato (2016, arXiv 1611.04051), instead of being estimated from rewards: a token learns from
    all that follows.

    Args:
        noise_dim: see ``Tokens``.
        shape: ``(L, V)``.
        width: of a token's embedding and of the GRU's state.
        temperature: see ``Tokens``.

    Raises:
        ConfigError: if ``shape`` is not that of a text.
    """

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        width: PositiveInt = 256,
        temperature: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(noise_dim, shape, temperature)
        self.enter = nn.Linear(noise_dim, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.embedding = nn.Parameter(torch.randn(shape[1], width) * width**-0.5)
        self.cell = nn.GRUCell(width + noise_dim, width)
        self.leave = nn.Linear(width, shape[1])

    def forward(self, noise: Tensor) -> Tensor:
        told, deciding = self.split(noise)
        state, before = self.enter(told).tanh(), self.start.expand(len(noise), -1)
        found: list[Tensor] = []
        for place in range(self.shape[0]):
            state = self.cell(torch.cat([before, told], dim=1), state)
            found.append(self.draw(self.leave(state), deciding[:, place]))
            before = found[-1] @ self.embedding
        return torch.stack(found, dim=1)
