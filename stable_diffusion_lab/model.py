"""The pair: a generator that drafts and a refiner that corrects."""

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.draft.base import Comparison, DraftSpace
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner


class Pair(nn.Module):
    """Refiner after generator. Knows nothing of losses, training or configs.

    Args:
        generator: noise to draft, in the space that ``space`` names.
        refiner: draft to better draft; also the inference network.
        space: where drafts live (``Pixels`` or ``Latents``).
    """

    def __init__(self, generator: Generator, refiner: Refiner, space: DraftSpace) -> None:
        super().__init__()
        self.generator = generator
        self.refiner = refiner
        self.space = space

    def draft(self, noise: Tensor) -> Tensor:
        """Draft samples ``[B, *refiner.shape]`` from noise ``[B, generator.noise_dim]``."""
        return self.space.render(self.generator(noise), self.refiner)

    def refine(self, draft: Tensor) -> Tensor:
        """Correct drafts, ``[B, *refiner.shape]`` to the same."""
        return self.refiner(draft)

    def infer(self, x: Tensor) -> Posterior:
        """q(h | x) of samples ``[B, *refiner.shape]``."""
        return self.refiner.encode(x)

    def embed(self, clean: Tensor) -> Tensor:
        """Put samples ``[B, *refiner.shape]`` where the generator draws, ``[B, *generator.shape]``."""
        return self.space.embed(clean, self.refiner)

    def compare(self, code: Tensor, clean: Tensor) -> list[Comparison]:
        """What an objective may hold against the data (see ``DraftSpace.compare``)."""
        return self.space.compare(code, clean, self.refiner)

    def noise(self, n: int, seed: int, label: int | None = None) -> Tensor:
        """What ``generate`` draws from, ``[n, generator.noise_dim]`` on the CPU."""
        noise = torch.randn(n, self.generator.noise_dim, generator=torch.Generator().manual_seed(seed))
        return noise if label is None else self.generator.aim(noise, torch.full((n,), label))

    @torch.no_grad()
    def generate(self, n: int, seed: int = 0, label: int | None = None) -> Sample:
        """Draw ``n`` samples; the same seed gives the same samples on every device.

        Args:
            n: number of samples.
            seed: keys the noise.
            label: the class that all are to be of; ``None`` for as many of each as the data has.

        Returns:
            Drafts and their refinements, each ``[n, *refiner.shape]`` in [-1, 1].

        Raises:
            ConfigError: if there is no such class, or the generator knows none.
        """
        draft = self.draft(self.noise(n, seed, label).to(next(self.parameters()).device))
        return Sample(draft, self.refine(draft))
