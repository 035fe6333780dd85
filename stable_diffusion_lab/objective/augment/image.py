"""Augmentations that make sense for images alone."""

from abc import abstractmethod

from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.augment.base import Augment


class ImageAugment(Augment):
    """Refuses whatever is no image.

    Raises:
        ConfigError: at the first call with points that are not ``[B, C, H, W]``.
    """

    @abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        """Transform each of the images ``[B, C, H, W]`` by itself, to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            message = f"augment: wants images [B, C, H, W], got {['B', *x.shape[1:]]}; use augment=identity"
            raise ConfigError("CFG-VALUE", message.replace("'", ""))
        return self.transform(x)
