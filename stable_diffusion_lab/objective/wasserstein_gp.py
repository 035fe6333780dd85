"""The Wasserstein game."""

from torch import Tensor

from stable_diffusion_lab.objective.adversarial import Adversarial


class Wasserstein(Adversarial):
    """Difference of means (Arjovsky et al. 2017).

        generator = -E D(x),   critic = E D(x) - E D(y),   x generated, y real

    Without a regulariser that bounds the critic's slope its term has no minimum. With slopes of at most 1
    the negative critic term is a lower bound of the Wasserstein-1 distance.
    """

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return -generated.mean()

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return generated.mean() - real.mean()
