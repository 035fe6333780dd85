"""Drafts that are samples already."""

from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.draft.base import Completion, DraftSpace
from stable_diffusion_lab.refiner.base import Refiner


class Pixels(DraftSpace):
    """The generator draws the sample itself; the comparison happens among samples."""

    def render(
        self,
        code: Tensor,
        refiner: Refiner,
        noise: Tensor | None = None,
        observed: Observation | None = None,
    ) -> Tensor:
        return code

    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        return clean

    def complete(self, code: Tensor, complete: Completion) -> Tensor:
        return complete(code)

    def refine(self, code: Tensor, refiner: Refiner, complete: Completion) -> Tensor:
        return complete(refiner(complete(code)))
