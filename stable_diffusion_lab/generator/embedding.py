"""A generator of texts that draws a point for each token."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.positions import Positions


class Embedding(Generator):
    """A transformer from noise to a point at each position, in the units of the embeddings of real text.

    Args:
        noise_dim: width of the noise vector.
        shape: ``(L, D)``, D the width of a token's embedding.
        width: of the residual stream.
        heads: of each attention; divides ``width``.
        blocks: number of transformer blocks.

    Raises:
        ConfigError: if ``shape`` is not that of a sequence.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        width: PositiveInt = 128,
        heads: PositiveInt = 4,
        blocks: NonNegativeInt = 2,
    ) -> None:
        super().__init__(noise_dim, shape)
        if len(shape) != 2:
            wants = "wants [length, width of an embedding] of data=text; for other data say generator=mlp"
            raise ConfigError("CFG-VALUE", f"generator.shape: {list(shape)}; {wants}")
        self.trunk = Positions(noise_dim, shape[0], width, heads, blocks)
        self.leave = nn.Linear(width, shape[1])
        self.register_buffer("mean", torch.zeros(shape[1]))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, noise: Tensor) -> Tensor:
        return self.mean + self.scale * self.leave(self.trunk(noise))

    @torch.no_grad()
    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Take the mean of real embeddings, and how far they are from it, root mean square of an entry."""
        count, total, squares = 0, torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        for chunk in codes:
            points = chunk.flatten(0, 1)
            count += len(points)
            total += points.sum(dim=0)
            squares += points.square().sum(dim=0)
        self.mean.copy_(total / count)
        self.scale.copy_((squares / count - self.mean.square()).clamp_min(0).mean().sqrt())
