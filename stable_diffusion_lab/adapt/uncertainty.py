"""Weights by how much of each loss is left, as if each had a noise level of its own."""

from torch import Tensor

from stable_diffusion_lab.adapt.balance import Balance
from stable_diffusion_lab.batch import Draft

PLAYERS = ("generator", "refiner")  # those for which several objectives can compete


class Uncertainty(Balance):
    """Divides the losses of one player by their values (Kendall et al. 2018, arXiv 1705.07115).

    There each loss L_i has a learnt log-variance s_i and counts as exp(-s_i) L_i + s_i. For L_i > 0 the
    best s_i is log L_i, so the weight is 1 / L_i, which needs no learning (Kirchdorfer et al. 2024, arXiv
    2408.07985). The size of a loss is its absolute value.

    What one objective says to one player is one loss: its parts, such as distortion and rate, are added
    and have one weight, so a bound stays a bound. A single loss of a player keeps its share, and so do
    critics and the like, of which each belongs to one objective: there a weight would be a learning rate.
    """

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        weights = self.fixed(terms)
        for player in PLAYERS:
            losses = _losses(terms, player)
            if len(losses) > 1:
                factors = self.factors(losses)
                for name in [name for name in terms if _loss(name) in factors]:
                    weights[name] = weights[name] * factors[_loss(name)]
        return weights


def _loss(term: str) -> str:
    """``"objective/player"`` of a term."""
    return "/".join(term.split("/")[:2])


def _losses(terms: dict[str, Tensor], player: str) -> dict[str, Tensor]:
    """Sum of the parts that each objective has for a player."""
    losses: dict[str, Tensor] = {}
    for name, term in terms.items():
        if name.split("/")[1] == player:
            losses[_loss(name)] = losses[_loss(name)] + term if _loss(name) in losses else term
    return losses
