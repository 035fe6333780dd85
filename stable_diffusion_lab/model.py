"""The pair: a generator that drafts and a refiner that corrects."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Draft, Observation, Sample
from stable_diffusion_lab.draft.base import Comparison, DraftSpace
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.inversion import search
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner
from stable_diffusion_lab.refiner.sequence import Sequence
from stable_diffusion_lab.seeding import fold, normal_rows, regrouped
from stable_diffusion_lab.task.base import Task
from stable_diffusion_lab.task.generation import Generation


class Pair(nn.Module):
    """Refiner after generator. Knows nothing of losses, training or configs.

    Wherever something is ``observed``, drafts and refinements agree with what of it is known exactly.

    Args:
        generator: noise, and what was observed, to draft, in the space that ``space`` names.
        refiner: draft to better draft; also the inference network.
        space: where drafts live (``Pixels``, ``Latents`` or ``Embeddings``).
        task: what is observed; nothing by default.

    Raises:
        ConfigError: if the task observes what the generator does not look at.
    """

    def __init__(
        self, generator: Generator, refiner: Refiner, space: DraftSpace, task: Task | None = None
    ) -> None:
        super().__init__()
        self.generator = generator
        self.refiner = refiner
        self.space = space
        self.task = task or Generation()
        if self.task.observes and not generator.observes:
            message = "it does not look at damaged samples; say generator=unet, or task=generation"
            raise ConfigError("CFG-FIT", f"generator: {message}")

    def code(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """What the generator draws, ``[B, *generator.shape]``, from noise ``[B, generator.noise_dim]``."""
        looks = observed is not None and self.generator.observes
        return self.generator(noise, observed) if looks else self.generator(noise)

    def draft(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        """Draft samples ``[B, *refiner.shape]`` from noise ``[B, noise_dim]``.

        Args:
            noise: standard normal.
            observed: what is known of the samples.
        """
        told, drawing = self.split(noise)
        drawn = self.space.render(self.code(told, observed), self.refiner, drawing, observed)
        return self.complete(drawn, observed)

    def refine(
        self, draft: Tensor, observed: Observation | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Correct drafts, ``[B, *refiner.shape]`` to the same.

        Args:
            draft: samples, made or real.
            observed: what is known of them.
            noise: what they were drafted from, ``[B, noise_dim]``; without it the refinement is the decoder's
                mean, of text its greedy choice, and what is known is laid over it.
        """
        if noise is None:
            return self.complete(self.refiner(draft), observed)
        return self.complete(self.refiner.redraw(draft, self.split(noise)[1], observed), observed)

    def complete(self, sample: Tensor, observed: Observation | None) -> Tensor:
        """Samples ``[B, *refiner.shape]`` with what is known exactly put into them."""
        return self.task.complete(sample, observed)

    def infer(self, x: Tensor) -> Posterior:
        """q(h | x) of samples ``[B, *refiner.shape]``."""
        return self.refiner.encode(x)

    def embed(self, clean: Tensor) -> Tensor:
        """Put samples ``[B, *refiner.shape]`` where the generator draws, ``[B, *generator.shape]``."""
        return self.space.embed(clean, self.refiner)

    def compare(self, draft: Draft, clean: Tensor) -> list[Comparison]:
        """What an objective may hold against the data (see ``DraftSpace.compare``)."""
        return self.space.compare(draft.code, clean, self.refiner, lambda x: self.complete(x, draft.observed))

    def samples(self, draft: Draft) -> list[Tensor]:
        """The same as samples ``[B, *refiner.shape]`` (see ``DraftSpace.samples``)."""
        return self.space.samples(draft.code, self.refiner, lambda x: self.complete(x, draft.observed))

    def noise(self, n: int, seed: int, label: int | None = None) -> Tensor:
        """What ``generate`` draws from, ``[n, noise_dim]`` on the CPU."""
        noise = torch.randn(n, self.noise_dim, generator=torch.Generator().manual_seed(seed))
        return self.aim(noise, label)

    def noises(self, n: int, seed: int, rows: int, label: int | None = None) -> Iterator[Tensor]:
        """The same, so many ``rows`` at a time, of which only a few are in memory at once."""
        rng = torch.Generator().manual_seed(seed)
        for part in regrouped(normal_rows(n, self.noise_dim, rng), rows):
            yield self.aim(part, label)

    def aim(self, noise: Tensor, label: int | None) -> Tensor:
        """Noise ``[n, noise_dim]`` from which a class is drafted, if one is asked for."""
        if label is None:
            return noise
        told, drawing = self.split(noise)
        return torch.cat([self.generator.aim(told, torch.full((len(noise),), label)), drawing], dim=1)

    @property
    def noise_dim(self) -> int:
        """Width of the noise that a sample is a function of."""
        return self.generator.noise_dim + self.refiner.noise_dim

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's part of the noise, and the refiner's (see ``Refiner.draw``)."""
        told, drawing = noise.split([self.generator.noise_dim, self.refiner.noise_dim], dim=1)
        return told, drawing

    @torch.no_grad()
    def generate(
        self, n: int, seed: int = 0, label: int | None = None, observed: Observation | None = None
    ) -> Sample:
        """Draw ``n`` samples, the same for the same seed.

        On other devices, up to rounding: of a text that may change a token, and what follows from it.

        Args:
            n: number of samples.
            seed: keys the noise.
            label: the class that all are to be of; ``None`` for as many of each as the data has.
            observed: ``n`` observations for the samples to agree with.

        Returns:
            Drafts and their refinements, each ``[n, *refiner.shape]`` in [-1, 1].

        Raises:
            ConfigError: if there is no such class, or the generator knows none.
        """
        noise = self.noise(n, seed, label).to(self.device)
        draft = self.draft(noise, observed)
        return Sample(draft, self.refine(draft, observed, noise))

    def restore(self, x: Tensor, mask: Tensor, n: int = 4, seed: int = 0) -> Sample:
        """Several ways in which damaged samples may have been whole.

        A generator that looks at what was observed is asked for ``n`` drafts. Any other is searched for the
        noise whose drafts agree with it (see ``inversion.search``).

        Args:
            x: damaged samples, ``[B, *refiner.shape]`` in [-1, 1].
            mask: 1 where ``x`` is to be trusted, 0 where it is lost; broadcast to ``[B, 1, ...]``.
            n: number of completions of each.
            seed: keys the noise.

        Returns:
            Drafts and refinements, each ``[B, n, *refiner.shape]``. What is known exactly is in all of them,
            bit for bit.

        Raises:
            ConfigError: if the pair makes texts: no noise is found for tokens by descent.
        """
        if isinstance(self.refiner, Sequence):
            remedy = "begin texts with Pair.generate(observed=...), or sdlab sample prompt=..."
            raise ConfigError("CFG-FIT", f"restore: is for images and recordings, not texts; {remedy}")
        seen = mask.to(x).expand(len(x), 1, *x.shape[2:])
        observed = Observation(*(part.repeat_interleave(n, 0) for part in self.task.describe(x, seen)))
        observed = observed.to(self.device)
        noise = self.noise(len(x) * n, seed).to(self.device)
        if not self.generator.observes:
            rng = torch.Generator().manual_seed(fold(seed))
            noise = search(self.draft, noise, observed, rng)
        with torch.no_grad():
            draft = self.draft(noise, observed)
            refined = self.refine(draft, observed, noise)
        return Sample(draft.unflatten(0, (len(x), n)), refined.unflatten(0, (len(x), n)))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
