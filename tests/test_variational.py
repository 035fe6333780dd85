"""The two variational objectives against models that can be solved exactly."""

import math

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.inference.base import Inference
from stable_diffusion_lab.objective.reverse_kl import ReverseKL
from stable_diffusion_lab.refinement.evidence import Evidence
from stable_diffusion_lab.refiner.base import Refiner


class ExactRefiner(Refiner):
    """Probabilistic PCA: x = W h + scale * e, whose evidence and posterior are known in closed form.

    The columns of W are orthogonal, so that the true posterior has a diagonal covariance. ``blur``
    multiplies its standard deviation and ``shift`` moves its mean, away from the truth.
    """

    def __init__(self, weight: Tensor, scale: float, blur: float = 1.0, shift: float = 0.0) -> None:
        super().__init__((weight.shape[0],), weight.shape[1], scale)
        self.weight, self.blur, self.shift = weight, blur, shift

    def encode(self, x: Tensor) -> Posterior:
        variance = 1 / (1 + self.weight.square().sum(0) / self.decoder_scale**2)
        mean = x @ self.weight / self.decoder_scale**2 * variance
        log_variance = (variance * self.blur**2).log().expand_as(mean)
        return Posterior(mean + self.shift, log_variance)

    def decode(self, h: Tensor) -> Tensor:
        return h @ self.weight.t()

    def marginal(self) -> torch.distributions.MultivariateNormal:
        dim = len(self.weight)
        covariance = self.weight @ self.weight.t()
        covariance = covariance + self.decoder_scale**2 * torch.eye(dim, dtype=covariance.dtype)
        return torch.distributions.MultivariateNormal(torch.zeros(dim, dtype=covariance.dtype), covariance)


def loadings(seed: int) -> Tensor:
    """Four dimensions from two, with orthogonal columns of different length."""
    rng = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(4, 2, dtype=torch.float64, generator=rng))
    return q * torch.tensor([1.5, 0.7], dtype=torch.float64)


def likelihood_constant(scale: float, dim: int = 4) -> float:
    return -dim / 2 * math.log(2 * math.pi * scale**2)


def test_evidence_is_a_lower_bound_and_tight_at_the_true_posterior() -> None:
    torch.manual_seed(0)
    x = torch.tensor([0.3, -1.0, 0.5, 0.8], dtype=torch.float64).expand(20_000, 4)
    for blur, shift in [(1.0, 0.0), (1.5, 0.0), (1.0, 0.4)]:
        refiner = ExactRefiner(loadings(0), 0.5, blur, shift)
        bound = (refiner.elbo(x, x) + likelihood_constant(0.5)).mean()
        exact = refiner.marginal().log_prob(x[0])
        truth, posterior = ExactRefiner(loadings(0), 0.5).encode(x[:1]), refiner.encode(x[:1])
        gap = torch.distributions.kl_divergence(
            *(torch.distributions.Normal(q.mean, (q.log_variance / 2).exp()) for q in (posterior, truth))
        ).sum()  # log p(x) - ELBO = KL(q || p(h | x))
        assert bound.item() == pytest.approx((exact - gap).item(), abs=0.02)
        assert bound < exact + 0.02


def test_evidence_objective_is_the_negative_bound_per_dimension() -> None:
    pair = Pair(parts.LinearGenerator(2, (4,)), ExactRefiner(loadings(0), 0.5), Pixels())
    clean = torch.randn(50_000, 4, dtype=torch.float64)
    empty = Draft(torch.empty(0, 2), torch.empty(0, 4))
    terms = Evidence()(pair, Batch(clean, None), empty)
    assert set(terms) == {"refiner/distortion", "refiner/rate"}
    rate = pair.refiner.encode(clean).kl().mean() / 4
    torch.testing.assert_close(terms["refiner/rate"], rate)
    loss = sum(terms.values(), torch.zeros(()))
    exact = -(pair.refiner.marginal().log_prob(clean).mean() - likelihood_constant(0.5)) / 4
    assert loss.item() == pytest.approx(exact.item(), abs=0.01)
    noisy = Evidence(noise_scale=0.5)(pair, Batch(clean, None), empty)
    assert sum(noisy.values()) > exact + 0.01, "a corrupted view can only loosen the bound"


class ExactInverse(Inference):
    """p(z | A z + scale * e) in closed form."""

    player = "inference"

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.exact = ExactRefiner(weight, scale)

    def forward(self, model: Pair, x: Tensor) -> Posterior:
        return self.exact.encode(x)


@pytest.mark.parametrize("noise_scale", [0.3, 1.0])
def test_reverse_kl_equals_the_divergence_where_both_posteriors_are_exact(noise_scale: float) -> None:
    torch.manual_seed(0)
    count, dim, noise_dim = 50_000, 4, 2
    drafts, data = ExactRefiner(loadings(1), noise_scale), ExactRefiner(loadings(0), 0.5)
    pair = Pair(parts.LinearGenerator(noise_dim, (dim,)), data, Pixels())
    noise = torch.randn(count, noise_dim, dtype=torch.float64)
    objective = ReverseKL(ExactInverse(loadings(1), noise_scale), noise_scale)
    terms = objective(pair, Batch(noise, None), Draft(noise, drafts.decode(noise)))
    bound = dim * (terms["generator/evidence"] + terms["generator/cycle"]).item()
    # The constants that the terms leave out: of p(x | h), of q(z | x), and the entropies of z and e.
    bound += -likelihood_constant(0.5) + noise_dim / 2 * math.log(2 * math.pi)
    bound -= noise_dim / 2 * math.log(2 * math.pi * math.e)
    bound -= dim / 2 * math.log(2 * math.pi * math.e * noise_scale**2)
    exact = torch.distributions.kl_divergence(drafts.marginal(), data.marginal())
    assert bound == pytest.approx(exact.item(), rel=0.02)


def test_the_variational_bound_has_the_gradient_of_its_value() -> None:
    torch.manual_seed(0)
    pair = parts.pair_in_pixels((4,)).double()
    (objective,) = parts.build("objective", "reverse_kl", pair).values()
    objective.double()
    noise = torch.randn(6, pair.generator.noise_dim).double()
    code = pair.generator(noise).detach().requires_grad_()

    def value(code: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        terms = objective(pair, Batch(torch.zeros(6, 4).double(), None), Draft(noise, code))
        return terms["generator/evidence"] + terms["generator/cycle"]

    assert torch.autograd.gradcheck(value, code)
