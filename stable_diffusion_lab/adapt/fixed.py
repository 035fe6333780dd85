"""Weights that stay as they are."""

from torch import Tensor

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Draft


class Fixed(Adapt):
    """Every term counts by its share."""

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        return self.fixed(terms)
