"""Weights by which the generator's terms pull equally hard, whatever their units."""

import torch
from torch import Tensor

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.bounds import Decay, PositiveFloat
from stable_diffusion_lab.layer.ranks import mean_over_ranks


class GradientBalance(Adapt):
    """Divides each term of the generator by the size of its gradient on the draft.

    Generalises the adaptive weight of VQGAN (Esser et al. 2021, eq. 7) from two terms to any number:

        w_i = share_i * mean_j n_j / n_i,   n_i = running average of |d term_i / d draft|,

    clamped to share_i * [1/limit, limit]. The mean keeps the scale of the sum. Terms of other players,
    which share no parameters with anyone, keep their share, and so does a single term of the generator,
    at no cost. Each measurement is one backward pass from a term to the draft, not into the generator.

    Args:
        weights: see ``Adapt``; a share is the fraction of the pull, relative to the other shares.
        decay: of the running average, per step.
        limit: largest factor by which a weight may differ from its share, either way.
    """

    def __init__(self, weights: dict[str, float], decay: Decay = 0.99, limit: PositiveFloat = 1e4) -> None:
        super().__init__(weights)
        self.decay = decay
        self.limit = limit
        self.norms: dict[str, Tensor] = {}

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        weights = {name: torch.full_like(term, self.share(name)) for name, term in terms.items()}
        pulls = {name: term for name, term in terms.items() if name.split("/")[1] == "generator"}
        if len(pulls) > 1:
            self.measure(pulls, draft.code)
            reference = torch.stack([self.norms[name] for name in pulls]).mean()
            for name in pulls:
                factor = reference / self.norms[name].clamp_min(torch.finfo(reference.dtype).tiny)
                weights[name] = weights[name] * factor.clamp(1 / self.limit, self.limit)
        return weights

    def measure(self, terms: dict[str, Tensor], code: Tensor) -> None:
        """Update the running norms with this step's gradients, averaged over ranks."""
        slopes = [torch.autograd.grad(term, code, retain_graph=True)[0] for term in terms.values()]
        fresh = mean_over_ranks(torch.stack([slope.norm() for slope in slopes]))
        for name, norm in zip(terms, fresh, strict=True):
            self.norms[name] = norm.lerp(self.norms.get(name, norm).to(norm), self.decay)

    # The terms' names are known only at run time, so the norms cannot be buffers; this puts them into the
    # checkpoint all the same. All ranks hold the same norms, so none need be broadcast.
    def get_extra_state(self) -> dict[str, Tensor]:
        return dict(self.norms)

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.norms = dict(state)
