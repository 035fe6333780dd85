"""The max-sliced Wasserstein distance: optimal transport along the line on which it costs most."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.sliced_wasserstein import random_directions, squared_wasserstein
from stable_diffusion_lab.ranks import gather, gather_live


def steeper(x: Tensor, y: Tensor, line: Tensor) -> Tensor:
    """One step of projected gradient ascent on W2^2 over unit vectors, ``[D, 1]`` to the same.

    The step has the length of the vector itself, so it knows no unit and needs no rate.
    """
    with torch.enable_grad():
        line = line.detach().requires_grad_()
        (slope,) = torch.autograd.grad(squared_wasserstein(x @ line, y @ line).sum(), line)
    slope = torch.nn.functional.normalize(slope, dim=0)
    return torch.nn.functional.normalize(line.detach() + slope, dim=0)


@torch.no_grad()
def ascend(x: Tensor, y: Tensor, lines: Tensor, steps: int) -> Tensor:
    """From the best of the directions ``[D, P]`` upwards: all that were visited, ``[D, steps + 1]``."""
    best = squared_wasserstein(x @ lines, y @ lines).argmax(keepdim=True)
    path = [lines.index_select(1, best)]
    for _ in range(steps):
        path.append(steeper(x, y, path[-1]))
    return torch.cat(path, 1)


class MaxSlicedWasserstein(Comparing):
    """W2^2 between the projections on the worst direction (Deshpande et al. 2019).

    The direction is looked for anew in each step, from the best of several random ones, and is a constant
    for the generator: its gradient is that of the maximum (Danskin's theorem). In squared units of what is
    compared.

    Args:
        feature: where to compare.
        directions: random ones to choose the start from.
        steps: of gradient ascent from there; the best direction on the way counts.
    """

    def __init__(self, feature: Feature, directions: PositiveInt = 64, steps: PositiveInt = 10) -> None:
        super().__init__(feature)
        self.directions = directions
        self.steps = steps

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        with torch.autocast(generated.device.type, enabled=False):
            x, y = gather_live(widen(generated.flatten(1))), gather(widen(real.flatten(1)))
            lines = ascend(x.detach(), y, random_directions(x, self.directions), self.steps)
            return {"generator": squared_wasserstein(x @ lines, y @ lines).max()}
