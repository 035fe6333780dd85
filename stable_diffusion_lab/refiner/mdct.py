"""A refiner of waveforms by their MDCT."""

from collections.abc import Callable

from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.mdct import MDCT as Transform
from stable_diffusion_lab.refiner.base import Refiner
from stable_diffusion_lab.refiner.represented import Represented


class MDCT(Represented):
    """A refiner of images looks at the coefficients of the modified discrete cosine transform.

    The transform is a rotation (see ``layer.mdct``): the likelihood in samples is that in coefficients.

    Args:
        inner: builds that refiner, from its ``shape``, ``latent_dim`` and ``decoder_scale``.
        shape: ``(C, T)`` of one sample, T divisible by ``bins``.
        latent_dim: width of the latent vector.
        decoder_scale: standard deviation of the likelihood, in units of the range [-1, 1].
        bins: frequencies; even.
        unit: largest coefficient that can be decoded. A sinusoid of amplitude 1 has (bins / 2)^0.5 at most,
            speech a few hundredths, and networks learn little from inputs far below 1.

    Raises:
        ConfigError: if ``shape`` or ``bins`` is another, or as the inner refiner does.
    """

    def __init__(
        self,
        inner: Callable[..., Refiner],
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        decoder_scale: PositiveFloat,
        bins: PositiveInt = 128,
        unit: PositiveFloat = 2.0,
    ) -> None:
        if len(shape) != 2 or shape[1] % bins or bins % 2:
            wanted = f"[C, T] with T divisible by refiner.bins={bins}, which is even"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants {wanted}")
        image = (shape[0], bins, shape[1] // bins)
        super().__init__(shape, inner(shape=image, latent_dim=latent_dim, decoder_scale=decoder_scale))
        self.transform = Transform(bins)
        self.unit = unit

    def represent(self, x: Tensor) -> Tensor:
        return self.transform(x) / self.unit

    def invert(self, y: Tensor) -> Tensor:
        return self.transform.inverse(y * self.unit).clamp(-1, 1)
