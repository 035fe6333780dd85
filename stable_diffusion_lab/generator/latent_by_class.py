"""A generator that drafts latents of a class for the refiner to decode."""

from collections.abc import Iterable

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt, Seed
from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.generator.conditional import Conditional
from stable_diffusion_lab.generator.mixture import Mixture
from stable_diffusion_lab.layer.bend import Bend
from stable_diffusion_lab.layer.label import one_hot


class LatentByClass(Conditional):
    """``Latent`` with a mixture for each class, and a residual network that sees the class.

    All mixtures are one, with the components of a class side by side and as much weight as the class has: the
    entry of the noise that picks a component has picked its class.

    Args:
        noise_dim: width of the noise vector; the mixture wants as much as there is code.
        shape: shape of one code, ``(latent_dim,)``.
        classes: number of classes.
        components: of each class's mixture.
        hidden_dim: width of the residual stream.
        blocks: number of residual blocks.
        seed: of the mixtures' fits.

    Raises:
        ConfigError: if ``shape`` is not ``(noise_dim,)``, or there are no classes.
    """

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        classes: NonNegativeInt,
        components: PositiveInt = 2,
        hidden_dim: PositiveInt = 256,
        blocks: NonNegativeInt = 3,
        seed: Seed = 0,
    ) -> None:
        super().__init__(noise_dim, shape, classes)
        self.components = components
        self.seed = seed
        self.start = Mixture(noise_dim, shape, classes * components)
        self.bend = Bend(noise_dim, hidden_dim, blocks, classes)

    def forward(self, noise: Tensor) -> Tensor:
        begun = self.start(noise)
        return self.bend(begun, one_hot(self.label(noise), self.classes).to(begun))

    def count(self, labels: Tensor | None) -> Tensor:
        counts = super().count(labels)
        if counts.min() < self.components:
            least = f"class {counts.argmin().item()} has {counts.min().item()} samples"
            message = f"{least}, fewer than generator.components={self.components}; lower it"
            raise DataError("DATA-LABELS", message)
        return counts

    @torch.no_grad()
    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Fit each class's start to its codes, and take mean and spread of all as units."""
        super().initialise([], labels)
        assert labels is not None
        everything = torch.cat(list(codes))
        labels = labels.to(everything.device)
        below = 0.0
        for k, above in enumerate(self.frequencies.tolist()):
            part = slice(k * self.components, (k + 1) * self.components)
            fitted = Mixture(self.noise_dim, self.shape, self.components, seed=self.seed).to(
                everything.device
            )
            fitted.initialise([everything[labels == k]])
            within = fitted.cumulative.double()
            self.start.cumulative[part] = below + (above - below) * within / within[-1]
            self.start.cumulative[part.stop - 1] = above  # the same number to the last bit: see ``label``
            self.start.means[part] = fitted.means
            self.start.factors[part] = fitted.factors
            below = above
        self.bend.measure(everything)
