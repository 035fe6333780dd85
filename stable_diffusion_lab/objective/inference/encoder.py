"""The refiner's encoder as the inference network: the article's choice."""

from torch import Tensor

from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.inference.base import Inference


class Encoder(Inference):
    """q(z | x) is q(h | x): for a pair whose refiner decodes with the generator itself.

    Holds no parameters. Wherever h and z mean different things the refiner would be torn between the
    data's latents and the generator's noise; take ``MLP`` there.
    """

    player = "refiner"

    def forward(self, model: Pair, x: Tensor) -> Posterior:
        return model.infer(x)
