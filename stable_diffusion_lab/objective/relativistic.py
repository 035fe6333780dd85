"""The relativistic pairing game."""

from torch import Tensor
from torch.nn.functional import softplus

from stable_diffusion_lab.layer.rows import sum_over_rows
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.ranks import gather


def surprise(doubted: Tensor, preferred: Tensor) -> Tensor:
    """E softplus(D(a) - D(b)) over all pairs of values ``[N]`` and ``[M]``: how far a is above b.

    The pairs run over the batches of all ranks. Each side's gradient takes the other side as constant,
    which leaves out nothing: the two add up to the gradient of the whole.
    """
    doubted, preferred = widen(doubted), widen(preferred)
    all_doubted, all_preferred = gather(doubted), gather(preferred)
    above = sum_over_rows(doubted, len(all_preferred), lambda a: softplus(a[:, None] - all_preferred).sum())
    below = sum_over_rows(preferred, len(all_doubted), lambda b: softplus(all_doubted - b[:, None]).sum())
    above = above / (len(doubted) * len(all_preferred))
    below = below / (len(preferred) * len(all_doubted))
    return above + below - below.detach()


class Relativistic(Adversarial):
    """Relativistic pairing (Jolicoeur-Martineau 2019; with R1 and R2 the game of R3GAN, Huang et al. 2024).

        generator = E softplus(D(y) - D(x)),   critic = E softplus(D(x) - D(y)),   x generated, y real

    The critic never sees a sample alone, so it gains nothing from a decision boundary that separates
    modes the generator has dropped. The expectation runs over x and y independently; it is taken over
    all N x M pairs of the batch rather than over N, with the same mean and less noise.
    """

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return surprise(real, generated)

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return surprise(generated, real)
