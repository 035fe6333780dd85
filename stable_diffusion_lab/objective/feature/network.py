"""Features of samples by a fixed network, layer by layer."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Some
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.layer.pooling import pooled
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.ranks import mean_over_ranks


class Network(Feature):
    """Compares what a network sees in rendered samples with what it sees in real ones.

    One comparison for each stage of the draft space and each layer. Points are flat, ``[N, D]``, and divided
    by the root mean square of the real points' norm over all ranks, so that all layers have the same say.
    The network is a constant here, and stays in evaluation mode.

    Args:
        pool: maps larger than ``pool`` x ``pool`` are averaged down to it.
        layers: which, by number; negative ones count from the last. ``None`` for all.
        bank: see ``Feature``.
    """

    def __init__(
        self, pool: PositiveInt = 4, layers: Some[int] | None = None, bank: NonNegativeInt = 0
    ) -> None:
        super().__init__(bank)
        self.pool = pool
        self.layers = layers

    @abstractmethod
    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        """What each layer makes of samples ``[B, *refiner.shape]``: ``[B, C, H, W]`` or ``[B, ...]``."""

    def compare(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        with torch.no_grad():
            real = self.points(batch.clean, model)
        with frozen(model.refiner):
            stages = [self.points(x, model) for x in model.samples(draft)]
        return [Comparison(*pair) for points in stages for pair in zip(points, real, strict=True)]

    def points(self, x: Tensor, model: Pair) -> list[Tensor]:
        """Flat features ``[B, D]`` of samples, one tensor for each layer.

        Raises:
            ConfigError: if none is asked for, or one that is not there.
        """
        maps = self.maps(x, model)
        numbers = range(len(maps)) if self.layers is None else self.layers
        if not numbers or any(not -len(maps) <= number < len(maps) for number in numbers):
            known = f"the network has {len(maps)}, 0 to {len(maps) - 1}"
            raise ConfigError("CFG-VALUE", f"feature.layers: {list(numbers)}; {known}")
        return [self.flat(maps[number]) for number in numbers]

    def flat(self, x: Tensor) -> Tensor:
        return (pooled(x, self.pool) if x.dim() == 4 else x).flatten(1)

    def scale(self, pairs: list[Comparison]) -> list[Comparison]:
        norms = torch.stack([pair.real.square().sum(dim=1).mean() for pair in pairs])
        units = mean_over_ranks(norms).sqrt().clamp_min(torch.finfo(norms.dtype).tiny)
        return [Comparison(x / unit, y / unit) for (x, y), unit in zip(pairs, units, strict=True)]

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever is asked for."""
        return super().train(False)


def refuse_vectors(shape: Sequence[int]) -> None:
    """Hold the shape of a sample against what convolutions take.

    Raises:
        ConfigError: if it is not that of an image with sides of 2 or more.
    """
    if len(shape) != 3 or min(shape[1:]) < 2:
        wants = "wants images [C, H, W] with sides >= 2; for other samples say feature=encoder or identity"
        raise ConfigError("CFG-VALUE", f"feature.shape: {list(shape)}; {wants}")
