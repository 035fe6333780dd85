"""Between stored bytes and what networks see."""

import torch
from torch import Tensor


def to_sample(images: Tensor) -> Tensor:
    """Map uint8 images of any shape to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_image(sample: Tensor) -> Tensor:
    """Map samples to uint8, clamped and rounded; the inverse of ``to_sample``."""
    return ((sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
