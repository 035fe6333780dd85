"""A U-Net for images and for sequences."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d}


class UNet(nn.Module):
    """Down by a stride and up again, with what each level saw on the way (Ronneberger et al. 2015).

    At full size there is one convolution in and one out, on each level below a residual block on either
    side: most of the work is done on small maps. GroupNorm, and, where there is a condition, a scale and a
    shift of normalised maps by it (Perez et al. 2018, FiLM). Sides that are not divisible are padded and
    cropped again.

    Args:
        channels_in: of what comes in.
        channels_out: of what goes out.
        channels: at full size; each level has twice as many.
        levels: how often the sides are divided.
        dims: 2 for ``[B, C, H, W]``, 1 for ``[B, C, T]``.
        condition_dim: width of the condition; 0 for none.
        stride: by what the sides are divided.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        channels: int,
        levels: int,
        dims: int,
        condition_dim: int = 0,
        stride: int = 2,
    ) -> None:
        super().__init__()
        convolution = _CONVOLUTION[dims]
        self.stride = stride
        widths = [channels * 2**level for level in range(levels + 1)]
        self.enter = convolution(channels_in, channels, 3, padding=1)
        self.shrink = nn.ModuleList(
            convolution(width, 2 * width, 2 * stride, stride, padding=stride // 2) for width in widths[:-1]
        )
        self.down = nn.ModuleList(Block(width, dims, condition_dim) for width in widths[1:])
        self.up = nn.ModuleList(Block(width, dims, condition_dim) for width in widths[1:])
        self.grow = nn.ModuleList(convolution(2 * width, width, 3, padding=1) for width in widths[:-1])
        self.join = nn.ModuleList(convolution(2 * width, width, 1) for width in widths[1:-1])
        self.leave = convolution(2 * channels, channels_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[B, channels_in, ...]`` to ``[B, channels_out, ...]``, given ``[B, condition_dim]``."""
        seen = [self.enter(_padded(x, self.stride ** len(self.down)))]
        for shrink, block in zip(self.shrink, self.down, strict=True):
            seen.append(block(shrink(functional.silu(seen[-1])), condition))
        h = seen.pop()
        for level in reversed(range(len(self.up))):
            h = self.grow[level](
                functional.interpolate(self.up[level](h, condition), scale_factor=self.stride)
            )
            h = torch.cat([h, seen[level]], dim=1)
            h = self.join[level - 1](h) if level else self.leave(functional.silu(h))
        return h[(..., *(slice(side) for side in x.shape[2:]))]


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the second norm under the condition."""

    def __init__(self, width: int, dims: int, condition_dim: int) -> None:
        super().__init__()
        convolution, groups = _CONVOLUTION[dims], math.gcd(8, width)
        self.first = nn.Sequential(
            nn.GroupNorm(groups, width), nn.SiLU(), convolution(width, width, 3, padding=1)
        )
        self.norm = nn.GroupNorm(groups, width)
        self.film = nn.Linear(condition_dim, 2 * width) if condition_dim else None
        self.second = nn.Sequential(nn.SiLU(), convolution(width, width, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        h = self.norm(self.first(x))
        if self.film is not None and condition is not None:
            told = self.film(condition).view(len(h), 2 * h.shape[1], *[1] * (h.dim() - 2))
            scale, shift = told.chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.second(h)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last entries until each side is divisible."""
    lacking: list[int] = []
    for side in reversed(x.shape[2:]):
        lacking += [0, -side % multiple]
    return functional.pad(x, lacking, mode="replicate") if any(lacking) else x
