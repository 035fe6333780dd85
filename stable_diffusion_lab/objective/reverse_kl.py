"""The article's objective: reverse KL by two variational bounds, without a critic."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeFloat
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.inference.base import Inference


class ReverseKL(Objective):
    """KL(p_theta || p_data) = -H(x) - E log p_data(x) of drafts x, each half bounded variationally.

    Evidence. log p_data(x) >= ELBO(x) under the refiner, which learns p_data elsewhere.

    Entropy. With x = G(z) + noise_scale * e, e standard normal, x given z has a constant entropy, and
    (Barber & Agakov 2003; Chen et al. 2016, eq. 4)

        H(x) = I(z; x) + H(x | z) >= H(z) + E log q(z | x) + D/2 log(2 pi e noise_scale^2).

    Both halves are in nats per dimension of a sample, so with equal weights and noise_scale > 0 their sum
    is an upper bound on KL/D of the noisy drafts, up to constants; equal where both posteriors are exact.
    ``noise_scale = 0`` is the article to the letter. There the constant is infinite and the bound says
    nothing: a good inverse tells drafts apart however small a volume they fill, E log|det dG/dz| goes
    unmeasured, and the drafts contract to the most probable samples.

    Neither half asks of which class a draft is: for a generator that draws classes this is p(x) alone.

    Args:
        inference: q(z | x).
        noise_scale: noise on the drafts, in units of the range [-1, 1].
    """

    def __init__(self, inference: Inference, noise_scale: NonNegativeFloat = 0.0) -> None:
        super().__init__()
        self.inference = inference
        self.noise_scale = noise_scale

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        with frozen(model.refiner, self.inference):
            x = model.complete(model.space.render(draft.code, model.refiner), draft.observed)
            x = x + self.noise_scale * torch.randn_like(x)
            evidence = (model.refiner.elbo(x, x) / model.refiner.count(x)).mean()
            cycle = self.cycle(model, x, draft.noise)
        return {
            "generator/evidence": -evidence,
            "generator/cycle": -cycle,
            f"{self.inference.player}/cycle": -self.cycle(model, x.detach(), draft.noise),
        }

    def cycle(self, model: Pair, x: Tensor, noise: Tensor) -> Tensor:
        """E log q(z | x) per dimension of x, for the noise ``[B, noise_dim]`` that x was drafted from."""
        return (self.inference(model, x).log_prob(noise) / model.refiner.count(x)).mean()
