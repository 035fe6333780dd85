"""The refiner learns from the comparison as well."""

from collections.abc import Iterator, Mapping
from typing import cast

from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft, Observation
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective


class Refined(Objective):
    """Objectives of a generator, turned to the refiner: it is to bring drafts nearer to the data.

    To them the pair is a generator of samples, of which only the refining half learns.

    Args:
        objectives: by name; the refiner learns from their sum.
    """

    def __init__(self, objectives: Mapping[str, Objective]) -> None:
        super().__init__()
        self.objectives = nn.ModuleDict(objectives)

    def players(self) -> Iterator[tuple[str, nn.Module]]:
        for objective in self.objectives.values():
            yield from cast(Objective, objective).players()

    def forward(self, model: Pair, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        if len(draft.code) == 0:  # the generator does not draft yet
            return {}
        whole = _Whole(model)
        drawn = draft._replace(code=whole.refined(draft.code, draft.observed))
        pair = Pair(whole, model.refiner, Pixels(["draft"]), model.task)
        return {
            f"{player.replace('generator', 'refiner', 1)}/{name}": term
            for name, objective in self.objectives.items()
            for player, term in objective(pair, batch, drawn).items()
        }


class _Whole(Generator):
    """Noise to refined samples; drafts are constants."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair.generator.noise_dim, pair.refiner.shape)
        self.pair = pair
        self.observes = pair.generator.observes

    def forward(self, noise: Tensor, observed: Observation | None = None) -> Tensor:
        return self.refined(self.pair.code(noise, observed), observed)

    def refined(self, code: Tensor, observed: Observation | None) -> Tensor:
        draft = self.pair.space.render(code.detach(), self.pair.refiner)
        return self.pair.refiner(self.pair.complete(draft, observed).detach())

    def label(self, noise: Tensor) -> Tensor | None:
        return self.pair.generator.label(noise)
