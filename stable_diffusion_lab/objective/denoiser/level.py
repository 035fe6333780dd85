"""How a denoiser is told the noise level."""

import torch
from torch import Tensor, nn

_FREQUENCIES = 16


class LevelEmbedding(nn.Module):
    """Waves of the noise level's logarithm and one learnt layer: ``[B]`` to ``[B, width]``."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-2, 3, _FREQUENCIES, base=2.0))
        self.learnt = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU())

    def forward(self, level: Tensor) -> Tensor:
        phase = level[:, None] * self.frequencies
        return self.learnt(torch.cat([phase.sin(), phase.cos()], dim=1))
