"""Drafts in the refiner's own latent space."""

from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.draft.base import Completion, DraftSpace
from stable_diffusion_lab.refiner.base import Refiner


class Latents(DraftSpace):
    """The generator draws latents; the refiner's decoder makes them samples.

    The comparison happens in the latent space too, with what the refiner infers of real data: far fewer
    dimensions have to be matched. Comparing drafts costs no pass through the decoder; comparing
    refinements costs one through decoder and encoder, with its gradient.
    """

    def render(
        self,
        code: Tensor,
        refiner: Refiner,
        noise: Tensor | None = None,
        observed: Observation | None = None,
    ) -> Tensor:
        return refiner.decode(code) if noise is None else refiner.draw(code, noise, observed)

    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        return refiner.inferred(clean)

    def complete(self, code: Tensor, complete: Completion) -> Tensor:
        return code  # what is known of a sample is not known of its latents

    def refine(self, code: Tensor, refiner: Refiner, complete: Completion) -> Tensor:
        return self.embed(complete(self.render(code, refiner)), refiner)
