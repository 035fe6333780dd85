"""The original game with the generator's non-saturating loss."""

from torch import Tensor
from torch.nn.functional import softplus

from stable_diffusion_lab.objective.adversarial import Adversarial


class NonSaturating(Adversarial):
    """Logistic losses (Goodfellow et al. 2014, section 3).

    generator = E softplus(-D(x)),   critic = E softplus(D(x)) + E softplus(-D(y)),   x generated, y real
    """

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return softplus(-generated).mean()

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return softplus(generated).mean() + softplus(-real).mean()
