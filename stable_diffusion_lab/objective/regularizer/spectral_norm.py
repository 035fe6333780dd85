"""Layers of bounded slope."""

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.objective.critic.base import Critic
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SpectralNorm(Regularizer):
    """Divides each weight of the critic by its largest singular value (Miyato et al. 2018).

    A change of the critic rather than a penalty: its term is zero. A convolution's weight counts as the
    matrix [out, in * kernel], as in the paper; the slope of the convolution itself may be larger.

    Args:
        iterations: power iterations per evaluation of the critic.
    """

    def __init__(self, iterations: PositiveInt = 1) -> None:
        super().__init__()
        self.iterations = iterations

    def attach(self, critic: Critic) -> None:
        for layer in [module for module in critic.modules() if isinstance(module, LAYERS)]:
            parametrizations.spectral_norm(layer, n_power_iterations=self.iterations)

    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        return real.logits.new_zeros(())
