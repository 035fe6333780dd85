"""Networks that only learning needs: they know a distribution by its scores."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.label import fitting, with_channels
from stable_diffusion_lab.layer.running import RunningMean
from stable_diffusion_lab.ranks import gather

_NO_SPREAD = 1e-6  # stands in for the scale of points that are all the same


class Denoiser(nn.Module, ABC):
    """E[x | x + sigma e] of one distribution, e standard normal: the posterior mean of the clean point.

    By Tweedie's formula (D(x, sigma) - x) / sigma^2 is then the score of the distribution blurred by sigma.
    Preconditioned as in Karras et al. (2022, eq. 7 and table 1), with the centre and the scale of the points
    as running averages. Where the network gives zero, and so before it has learnt anything, this is the
    exact denoiser of the isotropic Gaussian with these moments.

    Args:
        shape: shape of one point, e.g. ``(24,)`` or ``(1, 28, 28)``.
        conditions: channels that points have beyond that, of what they are compared by.

    Attributes:
        shape: with all channels.
    """

    def __init__(self, shape: tuple[int, ...], conditions: int = 0) -> None:
        super().__init__()
        self.shape = with_channels(shape, conditions)
        self.conditions = conditions
        self.centre = RunningMean(self.shape)
        self.variance = RunningMean()

    @abstractmethod
    def network(self, x: Tensor, level: Tensor) -> Tensor:
        """What a Gaussian cannot do, ``[B, *shape]`` of about unit size.

        Args:
            x: noisy points of about zero mean and unit scale, ``[B, *shape]``.
            level: log(sigma / scale) of each, ``[B]``.
        """

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Posterior means ``[B, *shape]``.

        Args:
            noisy: ``[B, *shape]``.
            sigma: standard deviation of each point's noise, in the points' own units, ``[B]``.
        """
        scale = self.scale()
        centre = self.centre.value.clone()
        s = (sigma / scale).view(-1, *[1] * len(self.shape))
        total = (1 + s.square()).sqrt()
        x = (noisy - centre) / scale
        level = (sigma / scale).log()
        # The network works in the type of its weights, everything around it in that of the points.
        learnt = self.network((x / total).to(centre.dtype), level.to(centre.dtype)).to(x.dtype)
        return centre + scale * (x / total.square() + s / total * learnt)

    def loss(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Squared error of denoising, a scalar; 1 on average where the network gives zero for a Gaussian.

        The weight 1/sigma^2 + 1/scale^2 makes all noise levels count alike (Karras et al. 2022, table 1).

        Args:
            clean: ``[B, *shape]``.
            noise: standard normal, ``[B, *shape]``.
            sigma: its scale for each point, ``[B]``.
        """
        wide = sigma.view(-1, *[1] * len(self.shape))
        error = self(clean + wide * noise, sigma) - clean
        return ((1 / wide.square() + 1 / self.scale().square()) * error.square()).mean()

    def scale(self) -> Tensor:
        """Root mean square of the points' deviation from their centre, per dimension; a scalar."""
        return self.variance.value.sqrt().clamp_min(_NO_SPREAD)

    def expect(self, points: Tensor) -> None:
        """Hold the shape of points ``[B, ...]`` against the denoiser's own.

        Raises:
            ConfigError: if they differ.
        """
        found = list(points.shape[1:])
        if found != list(self.shape):
            said = f"denoiser.shape: {list(self.shape)}, but points are {found}"
            remedy = f"say {fitting('denoiser', found, self.conditions)}, and compare one shape only"
            raise ConfigError("CFG-VALUE", f"{said}; {remedy}")

    @torch.no_grad()
    def observe(self, points: Tensor) -> None:
        """Let the centre and the scale follow the points ``[B, *shape]`` of all ranks."""
        everyone = gather(points)
        centre = self.centre(everyone.mean(dim=0))
        # Around the running centre, so that points on the move count as wide rather than as tiny.
        self.variance((everyone - centre).square().mean())
