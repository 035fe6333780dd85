"""The records that pass between data, model, objectives and metrics."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Real data, as a loader yields it.

    Attributes:
        clean: real samples, ``[B, ...]`` float32 in [-1, 1]; images are ``[B, C, H, W]``.
        label: class of each sample, ``[B]`` int64; ``None`` where the data has no labels.
    """

    clean: Tensor
    label: Tensor | None


class Draft(NamedTuple):
    """What the generator made in one training step, with its graph attached.

    Attributes:
        noise: ``[B, noise_dim]`` standard normal.
        code: the generator's output, ``[B, *generator.shape]``: pixels or latents of the refiner,
            as the model's draft space says.
    """

    noise: Tensor
    code: Tensor


class Sample(NamedTuple):
    """Finished samples before and after refinement, each ``[N, ...]`` in [-1, 1]."""

    draft: Tensor
    refined: Tensor
