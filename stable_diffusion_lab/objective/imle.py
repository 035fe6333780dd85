"""Implicit maximum likelihood: every real point pulls the draft that is nearest to it."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import Fraction, PositiveInt
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.layer.pairwise import Targets
from stable_diffusion_lab.layer.rows import row_blocks
from stable_diffusion_lab.layer.running import RunningMean
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.ranks import mean_over_ranks


class IMLE(Objective):
    """mean_i w_i |G(z*_i) - y_i|^2 / D, z*_i the nearest of a fresh pool (Li & Malik 2018, arXiv 1809.09087).

    Real points choose, drafts do not: no part of the data can go without a pull, however far the drafts
    are, so modes are not dropped. The pool is this step's drafts and ``pool`` others, searched without a
    gradient; the noise that was chosen is then drafted from again with one.

    With w_i = 1 points that the pool serves well pull forever, by what a finite pool leaves over. Adaptive
    IMLE (Aghabozorgi et al. 2023) gives each example a threshold of its own that falls whenever it is met.
    Here, where points pass once and are forgotten, one threshold serves all, and it falls with the drafts'
    distance from the data:

        w_i = 1 if d_i > tolerance * (running mean of d), otherwise 0;   d_i = rms |G(z*_i) - y_i|.

    Each process searches a pool of its own; the threshold is the same for all. If several stages or layers
    are compared, the nearest draft is the one with the least mean over them. The feature's bank takes no
    part: a real point pulls when its batch comes.

    Args:
        feature: where to compare.
        pool: fresh drafts per step on each process, beside the step's own.
        tolerance: see above; 0 is plain IMLE.
    """

    def __init__(self, feature: Feature, pool: PositiveInt = 512, tolerance: Fraction = 0.5) -> None:
        super().__init__()
        self.feature = feature
        self.pool = pool
        self.tolerance = tolerance
        self.reach = RunningMean()

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        with torch.no_grad():
            pool = self.candidates(model, draft)
            chosen = nearest(self.points(model, batch, pool))
        served = self.points(model, batch, self.again(model, draft, pool, chosen))
        apart = torch.stack([(x - y).square().mean(dim=1) for x, y in served]).mean(dim=0)
        return {"generator": (self.unserved(apart.detach().sqrt()) * apart).mean()}

    def candidates(self, model: Pair, draft: Draft) -> Draft:
        """This step's ``[N]`` drafts, then the fresh ones."""
        fresh = torch.randn(
            self.pool, *draft.noise.shape[1:], dtype=draft.noise.dtype, device=draft.noise.device
        )
        noise = torch.cat([draft.noise, fresh])
        row = torch.arange(len(noise), device=noise.device) % len(draft.noise)
        observed = draft.observed and draft.observed.rows(row)
        told = observed and observed.rows(slice(len(draft.noise), None))
        return Draft(noise, torch.cat([draft.code, model.code(fresh, told)]), observed)

    def points(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        """Flat points ``[N, D]`` of drafts and ``[M, D]`` of this batch, at least float32."""
        pairs = self.feature.scale(self.feature.compare(model, batch, draft))
        return [Comparison(widen(x.flatten(1)), widen(y.flatten(1))) for x, y in pairs]

    def again(self, model: Pair, draft: Draft, pool: Draft, chosen: Tensor) -> Draft:
        """The chosen ``[M]`` of the pool, with their graph.

        What is among the step's own drafts keeps its graph: whoever weighs terms by their pull on the
        draft finds one there.
        """
        noise, observed = pool.noise[chosen], pool.observed and pool.observed.rows(chosen)
        own = chosen < len(draft.code)
        there = draft.code[chosen.clamp_max(len(draft.code) - 1)]
        own = own.view(-1, *[1] * (there.dim() - 1))
        return Draft(noise, torch.where(own, there, model.code(noise, observed)), observed)

    def unserved(self, distance: Tensor) -> Tensor:
        """w ``[M]`` for distances ``[M]``, which the threshold follows."""
        reach = self.reach(mean_over_ranks(distance.mean()))
        return (distance > self.tolerance * reach).to(distance)


def nearest(pairs: list[Comparison]) -> Tensor:
    """Index of the generated point nearest to each real one, ``[M]``, by the mean over all pairs of sets."""
    sets = [(Targets(x), y) for x, y in pairs]
    generated, real = pairs[0]
    found = []
    for rows in row_blocks(real, len(generated)):
        squares = [targets.squared_distance(y[rows]) / y.shape[1] for targets, y in sets]
        found.append(torch.stack(squares).mean(dim=0).argmin(dim=1))
    return torch.cat(found)
