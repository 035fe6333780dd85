"""The space that the generator draws in, as it is."""

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.base import Feature


class Identity(Feature):
    """Compares latents with latents or samples with samples, whichever the generator draws."""

    def compare(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        return model.compare(draft, batch.clean)
