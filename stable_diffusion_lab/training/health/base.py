"""What tells that a run goes wrong."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from stable_diffusion_lab.layer.posterior import Posterior


class Findings(NamedTuple):
    """What is known of a run after an evaluation; tensors on the CPU, without a graph.

    Attributes:
        scores: of the validation, ``{"draft/coverage": ..., ...}``, whichever metrics the run has.
        real: the judge's features of held-out samples, ``[N, D]`` float64.
        labels: their classes, ``[N]`` int64; ``None`` where the data has no labels.
        generated: the judge's features by stage, ``{"draft": [M, D], "refined": [M, D]}`` float64.
        posterior: q(h | x) of the same held-out samples, ``[N, latent_dim]``.
        accuracy: share of pairs that the critic puts in the right order; ``None`` where there is no critic.
    """

    scores: Mapping[str, float]
    real: Tensor
    labels: Tensor | None
    generated: Mapping[str, Tensor]
    posterior: Posterior
    accuracy: float | None


class Symptom(ABC):
    """One number, and where it stops being healthy.

    What concerns samples is a number for each stage, and the healthier one counts: drafts that only the
    refiner can read are no collapse, and a collapse is in both.

    Attributes:
        player: whose learning it is about; it counts only once that player has learnt for a while.
        meaning: what it means if it lasts.
        advice: what to try.
    """

    player: ClassVar[Literal["generator", "refiner"]]
    meaning: ClassVar[str]
    advice: ClassVar[str]

    @abstractmethod
    def measure(self, findings: Findings) -> float | None:
        """The number; ``None`` where it has no meaning in this run."""

    @abstractmethod
    def complaint(self, value: float) -> str | None:
        """What is wrong with a number, in words and with the limit; ``None`` if nothing is."""
