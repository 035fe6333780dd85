"""The refiner's own eyes."""

from torch import Tensor

from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.network import Network


class Encoder(Network):
    """Compares what the refiner's encoder sees in each of its layers, the posterior mean last.

    Works for whatever the refiner takes. The encoder is a constant here; as long as it learns from its own
    objective, the features move, and a bank is behind them.
    """

    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        return model.refiner.features(x)
