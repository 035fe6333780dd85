"""Drafts near what was damaged."""

from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.distance.base import Distance
from stable_diffusion_lab.objective.observed import observed


class Reconstruction(Objective):
    """Distance of drafts from the clean samples whose damaged copies they were made for.

    The draft is taken as the generator drew it, before what is known is put in, so that what is known teaches
    it too. In squared error the best draft is the mean of all samples that agree with the observation,
    without variety and blurred where there are many; beside an objective that compares distributions it holds
    the completions to their own observation.

    Args:
        distance: of drafts and clean samples.
    """

    def __init__(self, distance: Distance) -> None:
        super().__init__()
        self.distance = distance

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        observed(draft, "objective.reconstruction")
        with frozen(model.refiner):
            x = model.space.render(draft.code, model.refiner)
        return {"generator": self.distance(x, batch.clean)}
