"""The fourth step of the algorithm: how much each term of the loss counts."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Draft


class Adapt(nn.Module, ABC):
    """Weighs the terms of all objectives and adds them up.

    Args:
        weights: share of each term, by its name ``"objective/player[/part]"`` or the beginning of it,
            such as ``"sinkhorn"`` or ``"reverse_kl/generator"``; the longest that fits counts. 1 for
            terms not named.

    Attributes:
        last: the weights of the latest step, scalars without a graph; for logging.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
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

    def share(self, name: str) -> float:
        """The configured share of a term."""
        parts = name.split("/")
        prefixes = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
        return next((self.shares[prefix] for prefix in prefixes if prefix in self.shares), 1.0)
