"""The refining half of the pair: variational inference, trained on real data."""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.posterior import Posterior


class Bound(NamedTuple):
    """The two halves of a negative evidence lower bound, in nats per sample ``[B]``.

    Attributes:
        distortion: -log p(x | h) for one h of q(h | x), up to the constant D/2 log(2 pi decoder_scale^2).
        rate: KL(q(h | x) || p(h)).
    """

    distortion: Tensor
    rate: Tensor


class Refiner(nn.Module, ABC):
    """A variational autoencoder used as a corrector of drafts.

    Attributes:
        shape: shape of one sample, e.g. ``(1, 28, 28)``.
        latent_dim: width of the latent vector h.
        decoder_scale: standard deviation of the Gaussian likelihood p(x | h), in units of the
            sample range [-1, 1].
        noise_dim: entries of the noise that ``draw`` and ``redraw`` choose by; 0 where they show the mean.
        explained: what the likelihood is a density of: samples x, or what represents them.
    """

    noise_dim: int = 0
    explained: str = "x"

    def __init__(self, shape: tuple[int, ...], latent_dim: int, decoder_scale: float) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.latent_dim = latent_dim
        self.decoder_scale = decoder_scale

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """Infer q(h | x) from samples ``[B, *shape]``."""

    @abstractmethod
    def decode(self, h: Tensor) -> Tensor:
        """Mean of p(x | h): ``[B, latent_dim]`` to ``[B, *shape]`` in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Refine drafts ``[B, *shape]``: one pass through the posterior mean and the decoder."""
        return self.decode(self.encode(x).mean)

    def inferred(self, x: Tensor) -> Tensor:
        """Latents ``[B, latent_dim]`` that samples ``[B, *shape]`` stand for where drafts are compared.

        The posterior's mean, where a draft is the mean of p(x | h). A refiner that draws from p(x | h) draws
        from the posterior too: it is by both together that the data are explained (Dai & Wipf 2019).
        """
        return self.encode(x).mean

    def draw(self, h: Tensor, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """A draft as it is shown: ``[B, latent_dim]`` to ``[B, *shape]``.

        Of numbers that is the mean of p(x | h). Of tokens the mean is none, and one is drawn.

        Args:
            h: latents.
            noise: ``[B, noise_dim]`` standard normal, of a part of which the sample is a function.
            observed: what is known of the samples, for a refiner that writes one entry after another: what
                it writes follows from what is known before. Others need not look, ``Pair`` puts what is
                known into whatever they make.
        """
        return self.decode(h)

    def redraw(self, x: Tensor, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """The refinement of drafts ``[B, *shape]`` as it is shown, by noise of which no draft is."""
        return self(x)

    def temper(self, factor: float) -> None:
        """Multiply the temperature at which samples are drawn; less than 1 asks for what is more probable.

        Raises:
            ConfigError: if there is none.
        """
        name = type(self).__name__
        raise ConfigError("CFG-VALUE", f"temperature: the refiner of the run ({name}) has none; leave it out")

    def features(self, x: Tensor) -> list[Tensor]:
        """What each layer of the encoder sees in samples ``[B, *shape]``, the last one last: ``[B, ...]``.

        The posterior mean alone, for an encoder that does not say more.
        """
        return [self.encode(x).mean]

    def bound(self, clean: Tensor, corrupted: Tensor) -> Bound:
        """What it costs to explain samples by what is left of them, e.g. under noise (see ``corrupt``).

        With ``corrupted = clean`` this is the bound of Kingma & Welling (2014, eq. 3), otherwise the
        denoising criterion of Im et al. (2017, eq. 5), still a bound on log p(clean) for every value.

        Args:
            clean: samples to explain, ``[B, *shape]``.
            corrupted: what the encoder sees, ``[B, *shape]``.
        """
        posterior = self.encode(corrupted)
        return Bound(self.distortion(clean, posterior.sample()), posterior.kl())

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        """-log p(x | h) of samples ``[B, *shape]`` given latents ``[B, latent_dim]``, without constants.

        Here, in ``log_prob`` and in ``count`` the likelihood is a Gaussian around ``decode``; a refiner of
        something else than numbers says its own.
        """
        error = (x - self.decode(h)).flatten(1).square().sum(dim=1)
        return 0.5 * error / self.decoder_scale**2

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """log p(x | h) in nats, constants included, ``[B]``."""
        constant = 0.5 * x[0].numel() * math.log(2 * math.pi * self.decoder_scale**2)
        return -self.distortion(x, h) - constant

    @property
    def entries(self) -> int:
        """The most entries that the likelihood of a sample is of (see ``count``)."""
        return math.prod(self.shape)

    def count(self, x: Tensor) -> Tensor:
        """How many entries of each sample ``[B, *shape]`` the likelihood is of, ``[B]``."""
        return torch.full((len(x),), self.entries, dtype=x.dtype, device=x.device)

    def corrupt(self, x: Tensor, scale: float) -> Tensor:
        """What is to be corrected: samples ``[B, *shape]`` with noise of standard deviation ``scale``."""
        return x + scale * torch.randn_like(x)

    def elbo(self, clean: Tensor, corrupted: Tensor) -> Tensor:
        """Evidence lower bound on log p(clean), inferred from a corrupted sample (see ``bound``).

        Returns:
            Nats per sample ``[B]``, up to the constant -D/2 log(2 pi decoder_scale^2).
        """
        distortion, rate = self.bound(clean, corrupted)
        return -distortion - rate
