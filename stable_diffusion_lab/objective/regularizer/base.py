"""What keeps a critic from becoming too steep or too sure; combines with every adversarial objective."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from stable_diffusion_lab.objective.critic.base import Critic
from stable_diffusion_lab.objective.verdict import Verdict


class Regularizer(nn.Module, ABC):
    """One addition to the critic's term."""

    def attach(self, critic: Critic) -> None:
        """Change the critic itself, once, before anything learns. Most do nothing here."""

    @abstractmethod
    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        """Scalar to add to the critic's term.

        Args:
            critic: values ``[B]`` of points ``[B, ...]``, through the same augmentation as the verdicts.
            generated: the critic's view of N generated points of this rank.
            real: the critic's view of M real points of this rank.
        """
