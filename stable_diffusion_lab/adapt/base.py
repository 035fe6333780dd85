"""The fourth step of the algorithm: how much each term of the loss counts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.error import ConfigError


class Adapt(nn.Module, ABC):
    """Weighs the terms of all objectives and adds them up.

    Whatever it learns on the way is in its ``state_dict``, and the same on every rank.

    Args:
        weights: share of each term, by its name ``"objective/player[/part]"`` or the beginning of it,
            such as ``"sinkhorn"`` or ``"reverse_kl/generator"``; the longest that fits counts. 1 for
            terms not named.

    Raises:
        ConfigError: if a share is negative: what a player makes small would grow.

    Attributes:
        last: the weights of the latest step, scalars without a graph; for logging.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        for name, weight in weights.items():
            if weight < 0:
                raise ConfigError("CFG-VALUE", f"adapt.weights.{name}: {weight}; wants 0 or more")
        self.shares = dict(weights)
        self.last: dict[str, Tensor] = {}

    @abstractmethod
    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        """One weight for each term, scalars without a graph."""

    def forward(self, terms: dict[str, Tensor], draft: Draft) -> Tensor:
        """Weighted sum of the terms, a scalar; zero if there are none.

        Args:
            terms: scalars by name.
            draft: what the generator made in this step.
        """
        self.last = self.weigh(terms, draft)
        total = torch.zeros((), device=draft.code.device)
        return sum((self.last[name] * term for name, term in terms.items()), total)

    def unheard(self, names: Iterable[str]) -> list[str]:
        """Configured shares that no term has, given the names of all terms."""
        known = list(names)
        return [key for key in self.shares if not any(f"{name}/".startswith(f"{key}/") for name in known)]

    def share(self, name: str) -> float:
        """The configured share of a term."""
        parts = name.split("/")
        prefixes = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
        return next((self.shares[prefix] for prefix in prefixes if prefix in self.shares), 1.0)

    def fixed(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The shares of the terms as weights."""
        return {name: torch.full_like(term, self.share(name)) for name, term in terms.items()}

    def refiner_rates(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms that are rates of the refiner; none while it rests."""
        return {name: term for name, term in terms.items() if name.endswith("/refiner/rate")}

    @property
    def rate(self) -> float:
        """Factor on the learning rates of all players."""
        return 1.0

    def status(self) -> dict[str, Tensor | float]:
        """What there is to log besides the weights, scalars by name."""
        return {}

    def attach(self, system: nn.Module) -> None:
        """Meet what is to be adapted besides the weights; called once, before training."""

    def expect(self, higher_is_better: Mapping[str, bool]) -> None:
        """Get to know the names of the scores to come, and which way is up for each; before training."""

    def observe(self, scores: Mapping[str, float]) -> None:
        """Take note of validation scores, which are the same on every rank.

        Args:
            scores: values by name, such as ``refined/fd``, of a pair whose generator has learnt.
        """
