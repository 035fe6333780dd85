"""What holds the critic's values together."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import Decay, NonNegativeFloat
from stable_diffusion_lab.layer.running import RunningMean
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.verdict import Verdict
from stable_diffusion_lab.ranks import mean_over_ranks


class LeCam(Regularizer):
    """weight (E (D(y) - a_x)^2 + E (D(x) - a_y)^2), y real, x generated (Tseng et al. 2021).

    a_x and a_y are running averages of the critic's values of generated and of real points, so neither side
    may run away from where the other has been. The averages start as plain means over the first steps, and
    the penalty with them; the paper waits instead.

    Args:
        weight: strength.
        decay: of the running averages, per comparison, of which a step has one for each stage and layer.
    """

    def __init__(self, weight: NonNegativeFloat = 0.3, decay: Decay = 0.99) -> None:
        super().__init__()
        self.weight = weight
        self.of_generated = RunningMean((), decay)
        self.of_real = RunningMean((), decay)

    def forward(self, critic: nn.Module, generated: Verdict, real: Verdict) -> Tensor:
        anchor_generated = self.of_generated(mean_over_ranks(generated.logits.mean())).to(real.logits)
        anchor_real = self.of_real(mean_over_ranks(real.logits.mean())).to(generated.logits)
        apart = (real.logits - anchor_generated).square().mean()
        return self.weight * (apart + (generated.logits - anchor_real).square().mean())
