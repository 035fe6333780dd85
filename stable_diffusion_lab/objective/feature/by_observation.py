"""Restorations compared with originals, each together with what was observed of it."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.observed import observed


class ByObservation(Feature):
    """Compares the joint distributions of a sample x and its damaged copy o: p_theta(x, o) with p_data(x, o).

    Drafts are made for damaged copies of the data, p_theta(o) = p_data(o), so

        p_theta(x, o) = p_data(x, o)   if and only if   p_theta(x | o) = p_data(x | o) wherever p(o) > 0,

    and every objective that compares distributions asks for draws from the posterior, for any damage. For a
    critic that is the conditional game of Mirza & Osindero (2014), of which Isola et al. (2017) made image
    translation; Adler & Oktem (2018, arXiv 1811.05910) take the Wasserstein distance of the joints.

    Drafts made for one half of the batch meet the originals of the other half. Held against the originals
    that they were made for, drafts would be paired each with its own (they share all that was observed), and
    be taught the mean of what is possible.

    Args:
        conditions: channels of a damaged copy: as many as a sample has.
        weight: of the damaged copy's entries beside those of the sample.
        bank: see ``Feature``.

    Raises:
        ConfigError: if nothing is observed, or drafts and originals do not belong to each other row by row,
            both later on.
    """

    def __init__(
        self, conditions: NonNegativeInt, weight: PositiveFloat = 1.0, bank: NonNegativeInt = 0
    ) -> None:
        super().__init__(bank)
        self.conditions = conditions
        self.weight = weight

    def compare(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        told = self.weight * observed(draft, "feature.by_observation").sample
        half = len(told) // 2
        if len(told) != len(batch.clean) or half == 0:
            wants = "wants batches of 2 or more and a draft for each sample; under imle say feature=identity"
            raise ConfigError("CFG-FIT", f"feature.by_observation: {wants}")

        def joint(x: Tensor) -> Tensor:
            return torch.cat([x, told.to(x)], dim=1)

        pairs = model.compare(draft, batch.clean)
        return [Comparison(joint(x)[:half], joint(y)[half:]) for x, y in pairs]
