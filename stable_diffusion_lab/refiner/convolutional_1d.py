"""A convolutional VAE of waveforms."""

from itertools import pairwise

from torch import nn

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.refiner.sequential import Sequential

STRIDE = 4
SHORT = 32  # samples: where halving ends


class Convolutional1d(Sequential):
    """One-dimensional convolutions that quarter the length, and transposed ones that undo it.

    There are as many as it takes to 32 values or less, with twice the channels each time, and a hidden layer
    beside the latents.

    Args:
        shape: ``(C, T)`` of one sample; T divisible by 4 as often.
        latent_dim: width of the latent vector.
        channels: channels of the first map.
        hidden_dim: width of the dense layer on either side of the latents.
        decoder_scale: standard deviation of the likelihood, in units of the range [-1, 1].

    Raises:
        ConfigError: if ``shape`` is another.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        channels: PositiveInt,
        hidden_dim: PositiveInt,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        if len(shape) != 2 or (depth := _depth(shape[1])) == 0:
            wanted = f"[C, T] with T > {SHORT} and divisible by {STRIDE} until it is not longer"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants {wanted}, or refiner=mlp")
        widths = [shape[0], *(channels * 2**level for level in range(depth))]
        small = (widths[-1], shape[1] // STRIDE**depth)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for outer, inner in pairwise(widths):
            down += [nn.Conv1d(outer, inner, 2 * STRIDE + 1, STRIDE, STRIDE), nn.SiLU()]
            up = [nn.SiLU(), nn.ConvTranspose1d(inner, outer, 2 * STRIDE, STRIDE, STRIDE // 2), *up]
        size = small[0] * small[1]
        dense = [nn.Linear(size, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, 2 * latent_dim)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), *dense)
        enter = [nn.Linear(latent_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, size)]
        self.decoder = nn.Sequential(*enter, nn.Unflatten(1, small), *up, nn.Tanh())


def _depth(length: int) -> int:
    """How often a length is divided until it is short; 0 if that leaves a remainder, or is never."""
    depth = 0
    while length > SHORT:
        length, rest = divmod(length, STRIDE)
        if rest:
            return 0
        depth += 1
    return depth
