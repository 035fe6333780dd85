"""Where an exponential stops being a normal number."""

import math

import torch


def smallest_log(dtype: torch.dtype) -> float:
    """Lower bound for logarithms before ``exp``, with room for a product: -79 in float32.

    Below it come denormal numbers, no more exact and thirty times slower on a CPU, and then zeros that
    nothing can be divided by.
    """
    return 0.9 * math.log(torch.finfo(dtype).tiny)
