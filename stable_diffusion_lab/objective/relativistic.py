"""The relativistic pairing game with both gradient penalties."""

from torch import Tensor
from torch.nn.functional import softplus

from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.layer.ranks import gather
from stable_diffusion_lab.objective.adversarial import Adversarial, Verdict
from stable_diffusion_lab.objective.critic.base import Critic


def surprise(doubted: Tensor, preferred: Tensor) -> Tensor:
    """E softplus(D(a) - D(b)) over all pairs of values ``[N]`` and ``[M]``: how far a is above b.

    The pairs run over the batches of all ranks. Each side's gradient takes the other side as constant,
    which leaves out nothing: the two add up to the gradient of the whole.
    """
    above = softplus(doubted[:, None] - gather(preferred)).mean()
    below = softplus(gather(doubted)[:, None] - preferred).mean()
    return above + below - below.detach()


class Relativistic(Adversarial):
    """Relativistic pairing with R1 and R2 (Huang et al. 2024, arXiv 2501.05441, section 2).

        generator = E softplus(D(y) - D(x)),   x generated, y real
        critic    = E softplus(D(x) - D(y)) + gamma/2 (E |grad D(y)|^2 + E |grad D(x)|^2)

    The critic never sees a sample alone, so it gains nothing from a decision boundary that separates
    modes the generator has dropped. The expectation runs over x and y independently; it is taken over
    all N x M pairs of the batch rather than over N, with the same mean and less noise.

    Args:
        critic: see ``Adversarial``.
        gamma: strength of both penalties, per squared unit of what is compared.
    """

    def __init__(self, critic: Critic, gamma: NonNegativeFloat = 0.1) -> None:
        super().__init__(critic)
        self.gamma = gamma

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return surprise(real, generated)

    def critic_loss(self, generated: Verdict, real: Verdict) -> Tensor:
        penalties = real.penalty() + generated.penalty()
        return surprise(generated.logits, real.logits) + self.gamma / 2 * penalties
