"""The refiner learns from the generator's own mistakes."""

from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.observed import observed


class Correction(Objective):
    """mean |r(x) - y|^p of refined drafts r(x) and the clean samples y that were damaged.

    Only the refiner learns; drafts are constants. What is known exactly counts for nothing: it is put in
    afterwards. With p = 2 the best correction is the mean of what is possible, given the draft, which is
    nearest in squared error and blurred where much is possible; with p = 1 it is the median.

    Args:
        power: p.
    """

    def __init__(self, power: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        if len(draft.code) == 0:  # the generator does not draft yet
            return {}
        told = observed(draft, "objective.correction")
        x = model.complete(model.space.render(draft.code, model.refiner), told).detach()
        return {"refiner": (model.refine(x, told) - batch.clean).abs().pow(self.power).mean()}
