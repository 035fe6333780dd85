"""The hinge game."""

from torch import Tensor
from torch.nn.functional import relu

from stable_diffusion_lab.objective.adversarial import Adversarial


class Hinge(Adversarial):
    """Hinge losses (Lim & Ye 2017; Miyato et al. 2018, spectral normalisation, section 4).

        generator = -E D(x),   critic = E max(0, 1 + D(x)) + E max(0, 1 - D(y)),   x generated, y real

    The critic learns from points within its margins only; it is never paid for being surer than 1.
    """

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return -generated.mean()

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return relu(1 + generated).mean() + relu(1 - real).mean()
