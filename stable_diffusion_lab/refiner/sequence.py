"""What all refiners of text have in common: a likelihood of tokens."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.ending import END, alive, ended
from stable_diffusion_lab.layer.straight_through import most_probable
from stable_diffusion_lab.refiner.base import Refiner


class Sequence(Refiner):
    """A variational autoencoder of texts ``[B, L, V]``, a distribution over tokens at each position.

    The encoder reads the most probable tokens, which is what is shown of a draft: refinement sees what a
    reader sees. The gradient passes as if it read the distributions (straight-through, Bengio et al. 2013).

    The likelihood is categorical, and of the tokens up to the first end. In the bound that is learnt it
    counts ``decoder_scale^-2`` times, so that the dial turns the same way as for numbers: 1 is the evidence
    lower bound, less asks for sharper reconstructions.

    Args:
        shape: ``(L, V)``.
        latent_dim: width of the latent vector.
        decoder_scale: what the rate weighs against the likelihood, as a standard deviation.
        width: of a token's embedding.

    Raises:
        ConfigError: if ``shape`` is not that of a text.
    """

    def __init__(self, shape: tuple[int, ...], latent_dim: int, decoder_scale: float, width: int) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        if len(shape) != 2:
            wanted = "[length, vocabulary] of data=text; for other data say refiner=mlp or convolutional"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants {wanted}")
        self.length, self.vocabulary = shape
        self.embedding = nn.Parameter(torch.randn(self.vocabulary, width) * width**-0.5)

    @abstractmethod
    def logits(self, h: Tensor, x: Tensor) -> Tensor:
        """Scores ``[B, L, V]`` of tokens given latents ``[B, latent_dim]``.

        Args:
            h: latents.
            x: the text that is to be explained, ``[B, L, V]``, for decoders that predict a token from those
                before it.
        """

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings ``[B, L, width]`` of the most probable tokens, and of ends after the first end.

        The gradient is the expectation's.
        """
        return ended(most_probable(x)) @ self.embedding

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        return -self.log_prob(x, h) / self.decoder_scale**2

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return -self.surprise(x, self.logits(h, x))

    def surprise(self, x: Tensor, scores: Tensor) -> Tensor:
        """Nats ``[B]`` of texts ``[B, L, V]`` up to their ends, by scores ``[B, L, V]``."""
        each = (x * scores.log_softmax(dim=-1)).sum(dim=-1)
        return -(each * alive(x[..., END])).sum(dim=1)

    @property
    def entries(self) -> int:
        return self.length

    def count(self, x: Tensor) -> Tensor:
        return alive(x[..., END]).sum(dim=1).to(x.dtype)

    def corrupt(self, x: Tensor, scale: float) -> Tensor:
        """Tokens replaced with probability ``scale`` by tokens from elsewhere in the batch."""
        flat = x.flatten(0, 1)
        other = flat[torch.randperm(len(flat), device=x.device)].view_as(x)
        replaced = torch.rand(x.shape[:2], device=x.device) < scale
        return torch.where(replaced[..., None], other, x)
