"""Learning against a critic, as one scalar without turns."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.augment.base import Augment
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.critic.base import Critic
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict


def share_above(a: Tensor, b: Tensor) -> Tensor:
    """Share of all pairs of ``a`` ``[N]`` and ``b`` ``[M]`` in which a is above b, a scalar; N log N."""
    return 1 - torch.searchsorted(a.sort().values, b.contiguous(), right=True).float().mean() / len(a)


class Adversarial(Comparing):
    """A critic tells real from generated points, and the generator learns from the critic.

    Both move at the same time, each on a term of its own: with a zero-centred gradient penalty these are
    the simultaneous dynamics that Mescheder et al. (2018, theorem 4.1) prove to converge locally.

    Args:
        feature: where to compare.
        critic: judges what is compared; must not mix the samples of a batch (no batch norm).
        regularizers: additions to the critic's term, by name.
        augment: what happens to points before the critic sees them.

    Attributes:
        accuracies: of the comparisons since the last step began, scalars on their device.
    """

    def __init__(
        self, feature: Feature, critic: Critic, regularizers: Mapping[str, Regularizer], augment: Augment
    ) -> None:
        super().__init__(feature)
        self.critic = critic
        self.regularizers = nn.ModuleDict(regularizers)
        self.augment = augment
        self.accuracies: list[Tensor] = []
        for regularizer in regularizers.values():
            regularizer.attach(critic)

    @property
    def accuracy(self) -> Tensor | None:
        """Share of the last step's pairs, one real and one generated, in which the critic values the real
        point more: the mean over its comparisons, a scalar on its device; ``None`` before the first.
        """
        return torch.stack(self.accuracies).mean() if self.accuracies else None

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        self.accuracies = []
        return super().forward(model, batch, draft)

    @abstractmethod
    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        """Scalar from the critic's values of generated ``[N]`` and, as constants, of real points ``[M]``."""

    @abstractmethod
    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        """Scalar from the critic's values of generated ``[N]`` and real points ``[M]``."""

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        of_real, of_generated = self.judge(real), self.judge(generated)
        self.augment.observe(of_generated.logits.detach(), of_real.logits.detach())
        self.accuracies.append(share_above(of_real.logits.detach(), of_generated.logits.detach()))
        critic = self.critic_loss(of_generated.logits, of_real.logits)
        for regularizer in self.regularizers.values():
            critic = critic + regularizer(self.values, of_generated, of_real)
        with frozen(self.critic):
            generator = self.generator_loss(self.values(generated), of_real.logits.detach())
        return {"generator": generator, "critic": critic}

    def values(self, points: Tensor) -> Tensor:
        """The critic's values ``[B]`` of augmented points ``[B, ...]``."""
        return self.critic(self.augment(points))

    def judge(self, points: Tensor) -> Verdict:
        """The critic's view of points ``[B, ...]``, cut off from whatever made them."""
        points = points.detach().requires_grad_()
        return Verdict(points, self.values(points))
