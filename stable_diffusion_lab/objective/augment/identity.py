"""No augmentation."""

from torch import Tensor

from stable_diffusion_lab.objective.augment.base import Augment


class Identity(Augment):
    """Leaves points as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x
