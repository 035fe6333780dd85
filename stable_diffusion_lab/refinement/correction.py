"""The refiner learns from the generator's own mistakes."""

from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.distance.base import Distance
from stable_diffusion_lab.objective.observed import observed


class Correction(Objective):
    """Distance of refined drafts from the clean samples that were damaged.

    Only the refiner learns; drafts are constants. What is known exactly counts for nothing: it is put in
    afterwards.

    Args:
        distance: of refined drafts and clean samples.
    """

    def __init__(self, distance: Distance) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        if len(draft.code) == 0:  # the generator does not draft yet
            return {}
        told = observed(draft, "refinement.correction")
        x = model.complete(model.space.render(draft.code, model.refiner), told).detach()
        return {"refiner": self.distance(model.refine(x, told), batch.clean)}
