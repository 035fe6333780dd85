"""How a model learns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.model import Pair


class Objective(nn.Module, ABC):
    """One way of comparing generated with real data.

    An objective owns whatever only learning needs (critics, score networks, memory). It returns
    terms and touches nothing else: no optimiser, no logger, no ``backward``.
    """

    @abstractmethod
    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        """Terms to be minimised.

        Args:
            model: the pair that learns.
            batch: real data.
            draft: what the generator made for this step; shared by all objectives.

        Returns:
            Scalars by player, ``{"generator": ..., "critic": ...}``, or by player and part,
            ``{"generator/cycle": ...}``. The gradient of each reaches that player's parameters only.
            Players are ``generator``, ``refiner``, and whom ``players`` names.
        """

    def players(self) -> Iterator[tuple[str, nn.Module]]:
        """What the objective owns and trains, by name: its children."""
        yield from self.named_children()
