"""The drafting half of the pair."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from stable_diffusion_lab.error import ConfigError


class Generator(nn.Module, ABC):
    """Maps noise to a draft in one evaluation.

    Attributes:
        observes: whether ``forward`` takes what was observed of a damaged sample beside the noise.
        noise_dim: width of the noise vector.
        shape: shape of one output, e.g. ``(1, 28, 28)`` for pixels or ``(24,)`` for latents.
    """

    observes: bool = False

    def __init__(self, noise_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.shape = tuple(shape)

    @abstractmethod
    def forward(self, noise: Tensor) -> Tensor:
        """Draft from standard normal noise: ``[B, noise_dim]`` to ``[B, *shape]``."""

    def label(self, noise: Tensor) -> Tensor | None:
        """Which class is drafted from noise ``[B, noise_dim]``: ``[B]`` int64; ``None`` if none is meant."""
        return None

    def aim(self, noise: Tensor, label: Tensor) -> Tensor:
        """The same noise ``[B, noise_dim]``, its first entry moved to where classes ``[B]`` are drafted from.

        Standard normal noise is then distributed as it is given the class.

        Raises:
            ConfigError: if the generator knows no classes, or not these.
        """
        known = "generator=latent_by_class or by_class"
        raise ConfigError(
            "CFG-VALUE", f"label: the generator of this run knows no classes; train with {known}"
        )

    def check(self, count: int, labels: Tensor | None) -> None:
        """Refuse training data that ``initialise`` would, before anything is trained.

        Args:
            count: number of samples.
            labels: class of each, ``[N]`` int64; ``None`` where the data has no labels.

        Raises:
            ConfigError: if there are too few of them.
            DataError: if labels do not do.
        """

    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Fit or scale to real data once, just before the generator starts to learn.

        Args:
            codes: the training data in the generator's own space, in batches ``[n, *shape]`` that are
                computed when they are asked for.
            labels: class of each of all these, ``[N]`` int64; ``None`` where the data has no labels.
        """
