"""Sequences as patches of neighbours."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.attention import Block


class PatchEncoder(nn.Module):
    """Joins neighbours into patches, tells each its place, and lets patches see each other.

    Args:
        length: of the sequence.
        patch: neighbours of a patch.
        width: of a neighbour and of a patch.
        heads: of each attention.
        blocks: number of transformer blocks.

    Raises:
        ConfigError: if patches do not come out even.
    """

    def __init__(self, length: int, patch: int, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.patches = count_patches(length, patch)
        self.join = nn.Linear(patch * width, width)
        self.places = nn.Parameter(torch.randn(self.patches, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[B, length, width]`` to what each block makes of it, ``[B, patches, width]`` each, in order.

        With no blocks the patches themselves.
        """
        found = [self.join(x.unflatten(1, (self.patches, -1)).flatten(2)) + self.places]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found[1:] or found


def count_patches(length: int, patch: int, latent_dim: int = 0) -> int:
    """Number of patches of a sequence.

    Raises:
        ConfigError: if they do not come out even, or the latents cannot be shared out among them.
    """
    patches = max(1, length // patch)
    if patches * patch != length or latent_dim % patches:
        wants = "has to divide the length, and the number of patches the number of latents"
        message = f"refiner.patch: {patch} of {length} tokens, {latent_dim} latents; {wants}"
        raise ConfigError("CFG-FIT", message)
    return patches
