"""Drafts near what was damaged."""

from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.observed import observed


class Reconstruction(Objective):
    """mean |x - y|^p over all entries of a draft x and the clean sample y whose damaged copy it was made for.

    The draft is taken as the generator drew it, before what is known is put in, so that what is known teaches
    it too. With p = 2 the best draft is the mean of all samples that agree with the observation, without
    variety and blurred where there are many; beside an objective that compares distributions it holds the
    completions to their own observation.

    Args:
        power: p.
    """

    def __init__(self, power: PositiveFloat = 2.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        observed(draft, "objective.reconstruction")
        with frozen(model.refiner):
            x = model.space.render(draft.code, model.refiner)
        return {"generator": (x - batch.clean).abs().pow(self.power).mean()}
