"""Where drafts live: the one place that knows whether a generator's output is a sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.refiner.base import Refiner

# Puts what is known into samples ``[B, *refiner.shape]``.
Completion = Callable[[Tensor], Tensor]


class Comparison(NamedTuple):
    """Two sets of points to be held against each other, ``[N, ...]`` and ``[M, ...]``."""

    generated: Tensor
    real: Tensor


class DraftSpace(ABC):
    """The space that the generator draws in, and how it connects to samples and to the refiner.

    Args:
        stages: what is compared with the data: ``"draft"``, ``"refined"`` or both, each with the
            same weight. With ``"refined"`` alone nothing holds the draft to the data, and it may
            become an arbitrary code that only the refiner can read.

    Raises:
        ConfigError: if ``stages`` is empty or names something else.
    """

    def __init__(self, stages: Sequence[str] = ("draft", "refined")) -> None:
        if not stages or not set(stages) <= {"draft", "refined"}:
            raise ConfigError("CFG-VALUE", f"draft.stages: {list(stages)}; choose from [draft, refined]")
        self.stages = tuple(stages)

    @abstractmethod
    def render(
        self,
        code: Tensor,
        refiner: Refiner,
        noise: Tensor | None = None,
        observed: Observation | None = None,
    ) -> Tensor:
        """Turn the generator's output ``[B, *generator.shape]`` into samples ``[B, *refiner.shape]``.

        Args:
            code: of the generator.
            refiner: of the pair.
            noise: what a sample is drawn by, ``[B, refiner.noise_dim]`` (see ``Refiner.draw``); without it
                the gradient passes.
            observed: what is known of a sample that is drawn (see ``Refiner.draw``).
        """

    @abstractmethod
    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        """Put samples where the generator draws, ``[B, *refiner.shape]`` to ``[B, *generator.shape]``."""

    @abstractmethod
    def complete(self, code: Tensor, complete: Completion) -> Tensor:
        """A draft with what is known put into it, as far as that can be done in this space."""

    @abstractmethod
    def refine(self, code: Tensor, refiner: Refiner, complete: Completion) -> Tensor:
        """What refinement does to a draft, seen in this space: ``[B, *generator.shape]`` to the same."""

    def compare(
        self, code: Tensor, clean: Tensor, refiner: Refiner, complete: Completion
    ) -> list[Comparison]:
        """What an objective holds against the data: the draft, its refinement, or both.

        The gradient reaches ``code`` only: the refiner is a constant, and real points carry no graph.
        """
        with torch.no_grad():
            real = self.embed(clean, refiner)
        with frozen(refiner):
            ways = {
                "draft": lambda: self.complete(code, complete),
                "refined": lambda: self.refine(code, refiner, complete),
            }
            return [Comparison(ways[stage](), real) for stage in self.stages]

    def samples(self, code: Tensor, refiner: Refiner, complete: Completion) -> list[Tensor]:
        """The same stages as samples ``[B, *refiner.shape]``; the gradient reaches ``code`` only."""
        with frozen(refiner):
            draft = complete(self.render(code, refiner))
            ways = {"draft": lambda: draft, "refined": lambda: complete(refiner(draft))}
            return [ways[stage]() for stage in self.stages]
