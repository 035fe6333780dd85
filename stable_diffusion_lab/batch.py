"""The records that pass between data, model, objectives and metrics."""

from typing import NamedTuple

import torch
from torch import Tensor


class Observation(NamedTuple):
    """What is known of samples that are damaged.

    Attributes:
        sample: what was observed, ``[B, ...]`` like the clean samples; 0 where nothing was.
        seen: 1 where anything was observed, 0 where not; float, ``[B, 1, ...]``, of texts ``[B, L, 1]``.
        exact: 1 where the observation is the clean sample itself, 0 elsewhere; of the same shape.
    """

    sample: Tensor
    seen: Tensor
    exact: Tensor

    def rows(self, index: Tensor | slice) -> "Observation":
        """Some of the observations."""
        return Observation(*(part[index] for part in self))

    def to(self, device: torch.device) -> "Observation":
        """The same on another device."""
        return Observation(*(part.to(device, non_blocking=True) for part in self))


class Batch(NamedTuple):
    """Real data, as networks see them.

    Attributes:
        clean: real samples, ``[B, ...]`` float32 in [-1, 1]; images are ``[B, C, H, W]``.
        label: class of each sample, ``[B]`` int64; ``None`` where the data has no labels.
    """

    clean: Tensor
    label: Tensor | None


class Draft(NamedTuple):
    """What the generator made in one training step, with its graph attached.

    Attributes:
        noise: ``[B, generator.noise_dim]`` standard normal.
        code: the generator's output, ``[B, *generator.shape]``: pixels, latents of the refiner, or
            embeddings of tokens, as the model's draft space says.
        observed: what the generator was told, a row for each draft; ``None`` where nothing is observed.
    """

    noise: Tensor
    code: Tensor
    observed: Observation | None = None


class Sample(NamedTuple):
    """Finished samples before and after refinement, each ``[N, ...]``; data are in [-1, 1]."""

    draft: Tensor
    refined: Tensor
