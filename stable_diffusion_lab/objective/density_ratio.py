"""Any f-divergence, by way of one estimator of the density ratio."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.objective.augment.base import Augment
from stable_diffusion_lab.objective.critic.base import Critic
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.regularizer.base import Regularizer

_LN2 = math.log(2)


class Divergence(NamedTuple):
    """D_f(p_data || p_theta) = E_theta f(r), by two functions of T = log r and of r itself.

    Attributes:
        value: f(r).
        path: f(r) - r f'(r), up to a constant; its slope moves the samples.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    path: Callable[[Tensor, Tensor], Tensor]


# Jensen-Shannon is KL(p_data||m)/2 + KL(p_theta||m)/2 with m the mean of both, from 0 to ln 2; squared
# Hellinger is the integral of (sqrt p_data - sqrt p_theta)^2, from 0 to 2.
DIVERGENCES: Mapping[str, Divergence] = {
    "reverse_kl": Divergence(lambda t, r: -t, lambda t, r: -t),
    "kl": Divergence(lambda t, r: r * t, lambda t, r: -r),
    "jensen_shannon": Divergence(
        lambda t, r: (_LN2 * (1 + r) - softplus(t) - r * softplus(-t)) / 2,
        lambda t, r: (_LN2 - softplus(t)) / 2,
    ),
    "pearson": Divergence(lambda t, r: (r - 1).square(), lambda t, r: 1 - r.square()),
    "squared_hellinger": Divergence(lambda t, r: (r.sqrt() - 1).square(), lambda t, r: 1 - r.sqrt()),
}


class DensityRatio(Adversarial):
    """The critic is T(x) = log p_data(x)/p_theta(x), from which every f-divergence is minimised.

    T is learnt by logistic regression, whose optimum is the log ratio (Goodfellow et al. 2014, proposition 1;
    Uehara et al. 2016 for f-divergences). With r = p_data/p_theta = e^T,

        D_f(p_data || p_theta) = integral p f(p_data / p),   p = p_theta, p' its derivative by theta,
        its derivative = integral p' f(r) + p f'(r) (-p_data / p^2) p'
                       = integral p' h(r),   h(r) = f(r) - r f'(r).

    That is the gradient of E h(e^T(x)) over generated x with T held constant:

        reverse KL          f = -log r                                          h = 1 - T
        KL                  f = r log r                                         h = -e^T
        Jensen-Shannon      f = (r log r - (r + 1) log((r + 1)/2)) / 2          h = (log 2 - softplus T) / 2
        Pearson chi^2       f = (r - 1)^2                                       h = 1 - e^2T
        squared Hellinger   f = (sqrt r - 1)^2                                  h = 1 - e^(T/2)

    Reverse KL is KL(p_theta || p_data), the divergence this program is about. The generator's term has the
    gradient of E h and the value of E f, the estimated divergence.

    Args:
        feature: where to compare.
        critic: T.
        regularizers: additions to the critic's term, by name.
        augment: what happens to points before the critic sees them.
        divergence: which f.
        limit: |T| above which e^T is held constant, in nats. A generated point with T beyond it has no
            gradient under KL, Pearson and Hellinger; reverse KL and Jensen-Shannon, without an exponential
            in h, keep theirs.
    """

    def __init__(
        self,
        feature: Feature,
        critic: Critic,
        regularizers: Mapping[str, Regularizer],
        augment: Augment,
        divergence: Literal[
            "reverse_kl", "kl", "jensen_shannon", "pearson", "squared_hellinger"
        ] = "reverse_kl",
        limit: PositiveFloat = 10.0,
    ) -> None:
        super().__init__(feature, critic, regularizers, augment)
        self.divergence = DIVERGENCES[divergence]
        self.limit = limit

    def generator_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        ratio = generated.clamp(-self.limit, self.limit).exp()
        path = self.divergence.path(generated, ratio).mean()
        return path + (self.divergence.value(generated, ratio).mean() - path).detach()

    def critic_loss(self, generated: Tensor, real: Tensor) -> Tensor:
        return softplus(generated).mean() + softplus(-real).mean()
