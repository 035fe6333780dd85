"""Drafts that are samples already."""

from collections.abc import Sequence

from torch import Tensor

from stable_diffusion_lab.draft.base import Comparison, DraftSpace
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.frozen import frozen
from stable_diffusion_lab.refiner.base import Refiner


class Pixels(DraftSpace):
    """The generator draws the sample itself.

    Args:
        stages: what is compared with the data: ``"draft"``, ``"refined"`` or both, each with the
            same weight. With ``"refined"`` alone nothing holds the draft to the data, and it may
            become an arbitrary code that only the refiner can read.

    Raises:
        ConfigError: if ``stages`` is empty or names something else.
    """

    def __init__(self, stages: Sequence[str] = ("draft", "refined")) -> None:
        if not stages or not set(stages) <= {"draft", "refined"}:
            raise ConfigError("CFG-VALUE", f"draft.stages: {list(stages)}; choose from [draft, refined]")
        self.stages = tuple(stages)

    def render(self, code: Tensor, refiner: Refiner) -> Tensor:
        return code

    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        return clean

    def compare(self, code: Tensor, clean: Tensor, refiner: Refiner) -> list[Comparison]:
        draft = self.render(code, refiner)
        comparisons = []
        if "draft" in self.stages:
            comparisons.append(Comparison(draft, clean))
        if "refined" in self.stages:
            with frozen(refiner):
                comparisons.append(Comparison(refiner(draft), clean))
        return comparisons
