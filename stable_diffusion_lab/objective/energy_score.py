"""Completions that vary as much as the data do, given what was observed."""

import torch
from torch import Tensor, linalg

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.observed import observed


class EnergyScore(Objective):
    """E|x - y| - 1/2 E|x - x'| of two completions x, x' of the same observation and its original y.

    A strictly proper scoring rule (Gneiting & Raftery 2007, eq. 22; to train a generator: Shen &
    Meinshausen 2024, engression): it is least where completions are drawn from p(y | observation). Without
    its second half, as in ``reconstruction``, all completions are best off at one place.

    Distances are root mean squares over a sample, with what is known exactly put in.
    """

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        told = observed(draft, "objective.energy_score")
        codes = [draft.code, model.code(torch.randn_like(draft.noise), told)]
        with frozen(model.refiner):
            drawn = [model.complete(model.space.render(code, model.refiner), told) for code in codes]
        one, other, clean = (widen(x.flatten(1)) for x in (*drawn, batch.clean))
        apart = _distance(one, clean) + _distance(other, clean) - _distance(one, other)
        return {"generator": apart.mean() / 2}


def _distance(x: Tensor, y: Tensor) -> Tensor:
    return linalg.vector_norm(x - y, dim=1) / x.shape[1] ** 0.5
