"""JPEG at low quality."""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.straight_through import rounded
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion

BLOCK = 8
# Quantisation tables of ITU-T T.81, annex K.1 and K.2.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * BLOCK,) * 4,
)
# JFIF: Y, Cb - 128 and Cr - 128 of R, G and B.
_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


class JPEG(Distortion):
    """What is left of an image in a JPEG file: 8 x 8 cosine transforms, quantised (ITU-T T.81).

    Tables are the standard's, scaled by quality as libjpeg does. Colours are stored at half the resolution
    (4:2:0), and interpolated. Images become whole bytes before and after. Gradients pass through each
    rounding as if it were not there.

    Args:
        lowest: least quality, 1 to 100, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``, or that above 100; where images are neither grey nor
            RGB.
    """

    directions = frozenset({2})
    grid = 2 * BLOCK  # of colours

    def __init__(self, lowest: PositiveInt, highest: PositiveInt) -> None:
        if highest > 100:
            raise ConfigError("CFG-VALUE", f"damage highest: {highest}; quality goes from 1 to 100")
        self.quality = Between(lowest, highest)

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        n, channels, height, width = sample.shape
        if channels not in (1, 3):
            raise self.unfit(sample, "is for grey and RGB images")
        quality = self.quality.whole(rng, n).to(sample.device, non_blocking=True)
        known = constants(sample.device)
        luminance, chrominance = (
            scaled(table, quality).to(sample.dtype) for table in (known.luminance, known.chrominance)
        )
        bytes_ = rounded((sample.float() + 1) * 127.5).clamp(0, 255)
        if channels == 1:
            stored = coded(extended(bytes_, BLOCK) - 128, luminance) + 128
        else:
            y, chroma = torch.einsum("ij,bjhw->bihw", known.ycbcr, extended(bytes_, 2 * BLOCK)).split(
                [1, 2], 1
            )
            half = coded(rounded(F.avg_pool2d(chroma, 2)), chrominance)
            whole = F.interpolate(half, scale_factor=2, mode="bilinear")
            planes = torch.cat([coded(rounded(y) - 128, luminance) + 128, whole], dim=1)
            stored = torch.einsum("ij,bjhw->bihw", known.rgb, planes)
        shown = rounded(stored[:, :, :height, :width]).clamp(0, 255)
        return (shown / 127.5 - 1).to(sample.dtype)


class Constants(NamedTuple):
    """Tables ``[8, 8]`` of whole numbers, what makes colour ``[3, 3]`` of R, G and B, and these again.

    ``cosine`` is the transform of a block, ``[8, 8]``.
    """

    luminance: Tensor
    chrominance: Tensor
    ycbcr: Tensor
    rgb: Tensor
    cosine: Tensor


@cache
def constants(device: torch.device) -> Constants:
    """Made once on each device, for training too if it is an evaluation that asks first."""
    with torch.inference_mode(False):
        luminance, chrominance = (torch.tensor(table, device=device) for table in (LUMINANCE, CHROMINANCE))
        ycbcr = torch.tensor(_YCBCR, dtype=torch.float32, device=device)
        cosine = _cosine().to(device, torch.float32)
        return Constants(luminance, chrominance, ycbcr, ycbcr.inverse(), cosine)


def scaled(table: Tensor, quality: Tensor) -> Tensor:
    """A table for each quality ``[n]`` from 1 to 100, ``[n, 8, 8]``: libjpeg's rule, whole numbers."""
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((table * percent[:, None, None] + 50) // 100).clamp(1, 255)


def extended(x: Tensor, multiple: int) -> Tensor:
    """Images with their last row and column repeated up to a multiple of so many pixels."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def coded(x: Tensor, table: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` with their coefficients rounded to multiples of ``table``, ``[B, 8, 8]``.

    Decoded values are rounded, as a decoder does, and kept within a byte.
    """
    cosine = constants(x.device).cosine.to(x)
    blocks = x.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)  # [B, C, h, w, 8, 8]
    step = table[:, None, None, None].to(x)
    coefficient = rounded(cosine @ blocks @ cosine.T / step) * step
    pixels = rounded(cosine.T @ coefficient @ cosine).clamp(-128, 127)
    return pixels.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _cosine() -> Tensor:
    """The orthonormal cosine transform (type II), ``[8, 8]``, a frequency in each row."""
    at = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos(math.pi * at[:, None] * (2 * at + 1) / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    return torch.cat([rows[:1] / math.sqrt(2), rows[1:]])
