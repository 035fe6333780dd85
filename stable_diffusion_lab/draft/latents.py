"""Drafts in the refiner's own latent space."""

import torch
from torch import Tensor

from stable_diffusion_lab.draft.base import Comparison, DraftSpace
from stable_diffusion_lab.refiner.base import Refiner


class Latents(DraftSpace):
    """The generator draws latents; the refiner's decoder makes them samples.

    The comparison happens in the latent space too, between drafted latents and posterior means of real
    data. It costs no pass through the decoder, and far fewer dimensions have to be matched.
    """

    def render(self, code: Tensor, refiner: Refiner) -> Tensor:
        return refiner.decode(code)

    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        return refiner.encode(clean).mean

    def compare(self, code: Tensor, clean: Tensor, refiner: Refiner) -> list[Comparison]:
        with torch.no_grad():
            return [Comparison(code, self.embed(clean, refiner))]
