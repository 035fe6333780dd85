"""Generators that draw a class with every sample."""

from collections.abc import Iterable

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.quantile import pick, place


class Conditional(Generator):
    """The class is a function of the noise: which quantile range the first entry falls into.

    The ranges are as wide as the classes are frequent, and where the entry falls within its range is
    standard normal again: a draft is one of p(y) p(x | y), and noise is drawn as for any generator.

    Args:
        noise_dim: width of the noise vector.
        shape: shape of one output.
        classes: number of classes K; until ``initialise`` all are equally frequent.

    Raises:
        ConfigError: if there are no classes.
    """

    frequencies: Tensor

    def __init__(self, noise_dim: int, shape: tuple[int, ...], classes: NonNegativeInt) -> None:
        super().__init__(noise_dim, shape)
        if classes == 0:
            remedy = "wants data whose labels are known, with data.classes; or say generator=latent or dcgan"
            raise ConfigError("CFG-FIT", f"generator.classes: 0; {remedy}")
        self.classes = classes
        # Cumulative, float64, the last entry 1.
        self.register_buffer("frequencies", torch.arange(1, classes + 1).double() / classes)

    def label(self, noise: Tensor) -> Tensor:
        return self.split(noise)[0]

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Classes ``[B]``, and standard normal noise ``[B, noise_dim]`` that is independent of them."""
        label, first = pick(noise[:, 0], self.frequencies)
        return label, torch.cat([first[:, None], noise[:, 1:]], dim=1)

    def aim(self, noise: Tensor, label: Tensor) -> Tensor:
        if label.min() < 0 or label.max() >= self.classes:
            found = ", ".join(map(str, label.unique().tolist()))
            raise ConfigError("CFG-VALUE", f"label: {found}; the classes are 0 to {self.classes - 1}")
        first = place(noise[:, 0], label.to(noise.device), self.frequencies.to(noise.device))
        return torch.cat([first[:, None], noise[:, 1:]], dim=1)

    def check(self, count: int, labels: Tensor | None) -> None:
        self.count(labels)

    def count(self, labels: Tensor | None) -> Tensor:
        """Number of samples of each class, ``[K]``.

        Raises:
            DataError: if there are no labels, one is not from 0 to K - 1, or a class has no sample.
        """
        if labels is None:
            message = "the data has no labels, which the generator wants; say generator=latent or dcgan"
            raise DataError("DATA-LABELS", message)
        counts = torch.bincount(labels.clamp_min(0), minlength=self.classes)
        if labels.min() < 0 or len(counts) > self.classes or counts.min() == 0:
            found = f"{labels.min().item()} to {labels.max().item()}, {len(labels.unique())} different ones"
            message = f"labels of the train split are {found}; wants every class from 0 to {self.classes - 1}"
            raise DataError("DATA-LABELS", f"{message}; set data.classes")
        return counts

    @torch.no_grad()
    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Take the frequencies of the classes from the training data."""
        counts = self.count(labels)
        self.frequencies.copy_(counts.cumsum(0).double() / counts.sum())
