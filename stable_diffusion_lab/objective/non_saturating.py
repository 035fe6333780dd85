"""The original game with the generator's non-saturating loss, made convergent by R1."""

from torch import Tensor
from torch.nn.functional import softplus

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.objective.adversarial import Adversarial, Verdict
from stable_diffusion_lab.objective.critic.base import Critic


class NonSaturating(Adversarial):
    """Logistic losses (Goodfellow et al. 2014, section 3) with R1 (Mescheder et al. 2018, eq. 9).

        generator = E softplus(-D(x)),   x generated
        critic    = E softplus(D(x)) + E softplus(-D(y)) + gamma/2 E |grad D(y)|^2,   y real

    Args:
        critic: see ``Adversarial``.
        gamma: strength of R1, per squared unit of what is compared.
    """

    def __init__(self, critic: Critic, gamma: NonNegativeFloat = 1.0) -> None:
        super().__init__(critic)
        self.gamma = gamma

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return softplus(-generated).mean()

    def critic_loss(self, generated: Verdict, real: Verdict) -> Tensor:
        loss = softplus(generated.logits).mean() + softplus(-real.logits).mean()
        return loss + self.gamma / 2 * real.penalty()
