"""The least-squares game."""

from torch import Tensor

from stable_diffusion_lab.objective.adversarial import Adversarial


class LeastSquares(Adversarial):
    """Regression on the labels 0 for generated and 1 for real (Mao et al. 2017).

        generator = 1/2 E (D(x) - 1)^2,   critic = 1/2 E D(x)^2 + 1/2 E (D(y) - 1)^2,   x generated, y real

    Where both distributions agree the critic says 1/2, so it needs a bias to get there.
    """

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return (generated - 1).square().mean() / 2

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return (generated.square().mean() + (real - 1).square().mean()) / 2
