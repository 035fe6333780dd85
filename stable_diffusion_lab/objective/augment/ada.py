"""Augmentation of adaptive strength."""

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction, NonNegativeFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.resample import resample
from stable_diffusion_lab.objective.augment.image import ImageAugment
from stable_diffusion_lab.ranks import gather


class ADA(ImageAugment):
    """Transforms each image with a probability that follows the critic's overfitting (Karras et al. 2020).

    Each transformation hits each image with probability p, independently. p starts at 0 and moves by
    (real images seen) / ``images`` with each comparison: up while r_t = E sign D(y) over the real points y
    of all ranks is above ``target``, down while it is below, within [0, 1]. Below 1, p leaves enough images
    alone for the generator not to learn the transformations.

    D(y) is measured from halfway between the means of D over real and over generated points. Logistic
    critics have their zero near there; relativistic and Wasserstein critics have none, and that of least
    squares is 1/2.

    Args:
        target: r_t that p aims at.
        images: real images after which p may have gone from 0 to 1.
        flip: mirror left to right; for things that may be mirrored, which digits may not.
        turns: quarter turns, for square images.
        translation: largest shift, as a fraction of the sides, in whole pixels; edges are reflected.
        scaling: standard deviation of the zoom's logarithm, in octaves.
        brightness: standard deviation of what is added, in units of the pixels.
        contrast: standard deviation of the factor's logarithm, in octaves.

    Raises:
        ConfigError: at the first call, if ``turns`` is asked of images that are not square.
    """

    p: Tensor

    def __init__(
        self,
        target: Fraction = 0.6,
        images: PositiveInt = 500_000,
        flip: bool = False,
        turns: bool = False,
        translation: Fraction = 0.125,
        scaling: NonNegativeFloat = 0.2,
        brightness: NonNegativeFloat = 0.2,
        contrast: NonNegativeFloat = 0.5,
    ) -> None:
        super().__init__()
        self.target = target
        self.images = images
        self.flip = flip
        self.turns = turns
        self.translation = translation
        self.scaling = scaling
        self.brightness = brightness
        self.contrast = contrast
        self.register_buffer("p", torch.zeros(()))

    @torch.no_grad()
    def observe(self, generated: Tensor, real: Tensor) -> None:
        generated, real = gather(generated), gather(real)
        sureness = (real - (generated.mean() + real.mean()) / 2).sign().mean()
        self.p.add_((sureness - self.target).sign() * (len(real) / self.images)).clamp_(0, 1)

    def transform(self, x: Tensor) -> Tensor:
        return self.toned(self.moved(self.turned(x) if self.turns else x))

    def turned(self, x: Tensor) -> Tensor:
        """Quarter turns, as transpositions and mirrors."""
        if x.shape[2] != x.shape[3]:
            message = f"augment.turns: wants square images, got {list(x.shape[2:])}; use augment.turns=false"
            raise ConfigError("CFG-VALUE", message)
        quarters = self.sometimes(torch.randint(4, (len(x), 1), device=x.device))[..., None, None]
        x = torch.where(quarters % 2 == 1, x.mT, x)
        x = torch.where((quarters == 1) | (quarters == 2), x.flip(2), x)
        return torch.where(quarters >= 2, x.flip(3), x)

    def moved(self, x: Tensor) -> Tensor:
        """Mirror, shift and zoom, in one pass over the pixels."""
        count, (height, width) = len(x), x.shape[2:]
        mirror = 1 - 2 * self.sometimes(self.flip * torch.randint(2, (count, 1), device=x.device))
        shift = self.sometimes(self.translation * (2 * torch.rand(count, 2, device=x.device) - 1))
        zoom = self.sometimes(self.scaling * torch.randn(count, 1, device=x.device)).exp2()
        down, right = (height * shift[:, :1]).round(), (width * shift[:, 1:]).round()
        return resample(x, source(height, down, zoom), source(width, right, zoom, mirror))

    def toned(self, x: Tensor) -> Tensor:
        """Brightness, then contrast about 0, the middle of the pixels' range."""
        shape = (len(x), 1, 1, 1)
        offset = self.sometimes(self.brightness * torch.randn(shape, dtype=x.dtype, device=x.device))
        factor = self.sometimes(self.contrast * torch.randn(shape, dtype=x.dtype, device=x.device)).exp2()
        return (x + offset) * factor

    def sometimes(self, amount: Tensor) -> Tensor:
        """Amounts ``[B, ...]``, each sample's with probability p; 0, which changes nothing, otherwise."""
        hit = torch.rand(len(amount), *[1] * (amount.dim() - 1), device=amount.device) < self.p
        return torch.where(hit, amount, 0)


def source(side: int, shift: Tensor, zoom: Tensor, mirror: Tensor | int = 1) -> Tensor:
    """Where each pixel along a side comes from: ``[B, side]``, inside of the image by reflection.

    Args:
        side: number of pixels.
        shift: of the content, in pixels, ``[B, 1]``, before the zoom.
        zoom: of the content about the centre, ``[B, 1]``.
        mirror: -1 to mirror the content first, ``[B, 1]``.
    """
    centre = (side - 1) / 2
    from_centre = torch.arange(side, device=shift.device) - centre
    position = mirror * (from_centre / zoom - shift) + centre
    # The last pixel itself is not repeated: a period is there and back again.
    last = max(side - 1, 1)
    return last - (position.remainder(2 * last) - last).abs()
