"""Zero-centred gradient penalty on real points."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict


class R1(Regularizer):
    """gamma/2 E |grad D(y)|^2, y real (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: strength, per squared unit of what is compared.
    """

    def __init__(self, gamma: NonNegativeFloat = 1.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        return self.gamma / 2 * real.penalty()
