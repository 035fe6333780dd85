"""Weights by which rivals count equally, whatever their units."""

import torch
from torch import Tensor

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.bounds import Decay, PositiveFloat
from stable_diffusion_lab.ranks import mean_over_ranks


class Balance(Adapt):
    """Divides what competes for the same parameters by its size, which a subclass measures.

        w_i = share_i * mean_j n_j / n_i,   n_i = running average of size i,

    clamped to share_i * [1/limit, limit]. The mean keeps the scale of the sum.

    Args:
        weights: see ``Adapt``; a share is relative to the other shares.
        decay: of the running average, per step.
        limit: largest factor by which a weight may differ from its share, either way.

    Attributes:
        sizes: the running averages by name.
    """

    def __init__(self, weights: dict[str, float], decay: Decay = 0.99, limit: PositiveFloat = 1e4) -> None:
        super().__init__(weights)
        self.decay = decay
        self.limit = limit
        self.sizes: dict[str, Tensor] = {}

    def factors(self, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        """What to multiply the share of each rival with.

        Args:
            measured: scalars by name of this rank and step; the size is the absolute value of their
                mean over ranks.
        """
        fresh = mean_over_ranks(torch.stack([*measured.values()])).abs()
        for name, size in zip(measured, fresh, strict=True):
            self.sizes[name] = size.lerp(self.sizes.get(name, size).to(size), self.decay)
        sizes = torch.stack([self.sizes[name] for name in measured])
        factors = sizes.mean() / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)
        return dict(zip(measured, factors.clamp(1 / self.limit, self.limit), strict=True))

    # The names are known only at run time, so the sizes cannot be buffers; this puts them into the
    # checkpoint all the same. All ranks hold the same sizes, so none need be broadcast.
    def get_extra_state(self) -> dict[str, Tensor]:
        return dict(self.sizes)

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.sizes = dict(state)
