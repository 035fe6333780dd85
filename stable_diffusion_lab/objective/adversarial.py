"""Learning against a critic, as one scalar without turns."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.critic.base import Critic


class Verdict(NamedTuple):
    """What a critic says of some points.

    Attributes:
        points: ``[B, ...]``, leaves that require a gradient.
        logits: the critic's values at the points, ``[B]``, with their graph.
    """

    points: Tensor
    logits: Tensor

    def penalty(self) -> Tensor:
        """E |grad_x D(x)|^2, itself differentiable (R1 and R2 of Mescheder et al. 2018, eq. 9)."""
        (slope,) = torch.autograd.grad(self.logits.sum(), self.points, create_graph=True)
        return slope.flatten(1).square().sum(dim=1).mean()


class Adversarial(Objective):
    """A critic tells real from generated points, and the generator learns from the critic.

    Both move at the same time, each on a term of its own: with a zero-centred gradient penalty these are
    the simultaneous dynamics that Mescheder et al. (2018, theorem 4.1) prove to converge locally.

    Args:
        critic: judges what the model compares; must not mix the samples of a batch (no batch norm).
    """

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    @abstractmethod
    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        """Scalar from the critic's values of generated ``[N]`` and, as constants, of real points ``[M]``."""

    @abstractmethod
    def critic_loss(self, generated: Verdict, real: Verdict) -> Tensor:
        """Scalar from the critic's verdicts on N generated and M real points, penalties included."""

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        compared = model.compare(draft.code, batch.clean)
        terms = [self.contest(c.generated, c.real) for c in compared]
        return {player: torch.stack([term[player] for term in terms]).mean() for player in terms[0]}

    def contest(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Both players' terms on generated ``[N, ...]`` and real ``[M, ...]`` points."""
        verdict_real = self.judge(real)
        critic = self.critic_loss(self.judge(generated), verdict_real)
        with frozen(self.critic):
            generator = self.generator_loss(self.critic(generated), verdict_real.logits.detach())
        return {"generator": generator, "critic": critic}

    def judge(self, points: Tensor) -> Verdict:
        """The critic's view of points ``[B, ...]``, cut off from whatever made them."""
        points = points.detach().requires_grad_()
        return Verdict(points, self.critic(points))
