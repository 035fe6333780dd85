"""Weights by which the generator's terms pull equally hard, whatever their units."""

import torch
from torch import Tensor

from stable_diffusion_lab.adapt.balance import Balance
from stable_diffusion_lab.batch import Draft


class GradientBalance(Balance):
    """Divides each term of the generator by the size of its gradient on the draft.

    Generalises the adaptive weight of VQGAN (Esser et al. 2021, eq. 7) from two terms to any number: the
    size of a term is |d term / d draft|, and a share is the fraction of the pull, relative to the other
    shares.

    Terms of other players, which share no parameters with anyone, keep their share, and so does a single
    term of the generator, at no cost. Each measurement is one backward pass from a term to the draft, not
    into the generator.
    """

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        weights = self.fixed(terms)
        pulls = {name: term for name, term in terms.items() if name.split("/")[1] == "generator"}
        if len(pulls) > 1:
            measured = {name: _pull(term, draft.code) for name, term in pulls.items()}
            for name, factor in self.factors(measured).items():
                weights[name] = weights[name] * factor
        return weights


def _pull(term: Tensor, code: Tensor) -> Tensor:
    return torch.autograd.grad(term, code, retain_graph=True)[0].norm()
