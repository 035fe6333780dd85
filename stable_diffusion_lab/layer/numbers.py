"""Numbers of Python on a device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def numbers(values: Sequence[float], like: Tensor) -> Tensor:
    """Some numbers ``[K]`` in the type and on the device of a tensor.

    They are filled in there: to copy them is to wait for the device.
    """
    return torch.stack([like.new_full((), value) for value in values])
