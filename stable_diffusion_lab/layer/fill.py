"""Gaps filled smoothly from what is around them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_POOL: dict[int, Callable[..., Tensor]] = {3: functional.avg_pool1d, 4: functional.avg_pool2d}
_MODE = {3: "linear", 4: "bilinear"}


def fill(sample: Tensor, seen: Tensor) -> Tensor:
    """Pull and push (Gortler et al. 1996, section 3.3): the finest average that knows anything fills a gap.

    What is seen is averaged over ever larger squares until nothing is missing, and put back from coarse to
    fine, in proportion to how little the finer level knows. No loop over samples; differentiable.

    Args:
        sample: ``[B, C, H, W]`` or ``[B, C, T]``; 0 where nothing is seen.
        seen: 1 where something is, else 0, ``[B, 1, ...]``.

    Returns:
        Like ``sample``; the same where it is seen; 0 everywhere for a sample of which nothing is.
    """
    size = sample.shape[2:]
    if max(size) == 1:
        return sample
    lacking = [pad for side in reversed(size) for pad in (0, side % 2)]
    total, known = functional.pad(sample * seen, lacking), functional.pad(seen, lacking)
    pool = _POOL[sample.dim()]
    share = pool(known, 2)
    coarse = fill(pool(total, 2) / share.clamp_min(torch.finfo(share.dtype).eps), share.clamp_max(1))
    wide = functional.interpolate(coarse, size=known.shape[2:], mode=_MODE[sample.dim()], align_corners=False)
    inside = functional.pad(wide, [-pad for pad in lacking])
    return sample * seen + inside * (1 - seen)
