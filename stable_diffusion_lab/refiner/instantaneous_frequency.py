"""A refiner of waveforms by their spectrograms, phases included."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.instantaneous_frequency import InstantaneousFrequency as Transform
from stable_diffusion_lab.layer.numbers import numbers
from stable_diffusion_lab.refiner.base import Bound, Refiner
from stable_diffusion_lab.refiner.represented import Represented


class InstantaneousFrequency(Represented):
    """A refiner of images looks at log-magnitudes and instantaneous frequencies (Engel et al. 2019).

    Where a phase cannot be known, the mean of a Gaussian over waveforms is silence; over this, it is a sound
    of the right loudness with a phase of its own. The likelihood is one of log-magnitudes and frequencies
    therefore. It bounds no density of waveforms.

    Args:
        inner: builds that refiner, from its ``shape``, ``latent_dim`` and ``decoder_scale``.
        shape: ``(C, T)`` of one sample, T divisible by half of ``bins``.
        latent_dim: width of the latent vector.
        decoder_scale: standard deviation of the likelihood; log-magnitudes have the range [-1, 1].
        bins: frequencies; even. A window has twice as many samples.
        patch: so many neighbours in frequency, and in time, become channels of one: a smaller image, which is
            quicker to look at.
        phase_scale: what a frequency counts, with a log-magnitude at 1.
        iterations: of Griffin & Lim (1984), which make decoded phases fit decoded magnitudes. They change
            nothing about what was a waveform before, and cost nothing in training by the evidence.

    Raises:
        ConfigError: if ``shape`` or ``bins`` is another, or as the inner refiner does.
    """

    explained = "spectra of x"

    def __init__(
        self,
        inner: Callable[..., Refiner],
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        decoder_scale: PositiveFloat,
        bins: PositiveInt = 128,
        patch: PositiveInt = 2,
        phase_scale: PositiveFloat = 0.1,
        iterations: NonNegativeInt = 4,
    ) -> None:
        if len(shape) != 2 or bins % 2 or shape[1] % (bins // 2):
            wanted = f"[C, T] with T divisible by half of refiner.bins={bins}, which is even"
            raise ConfigError("CFG-VALUE", f"refiner.shape: {list(shape)}; wants {wanted}")
        frames = shape[1] // (bins // 2)
        if bins % patch or frames % patch:
            sides = f"{bins} frequencies and {frames} frames"
            raise ConfigError("CFG-VALUE", f"refiner.patch: {patch}; {sides} are to be multiples of it")
        image = (2 * shape[0] * patch**2, bins // patch, frames // patch)
        super().__init__(shape, inner(shape=image, latent_dim=latent_dim, decoder_scale=decoder_scale))
        self.transform = Transform(bins, iterations)
        self.patch = patch
        self.phase_scale = phase_scale

    def represent(self, x: Tensor) -> Tensor:
        return pixel_unshuffle(self._weighed(self.transform(x), self.phase_scale), self.patch)

    def invert(self, y: Tensor) -> Tensor:
        spectra = self._weighed(pixel_shuffle(y, self.patch), 1 / self.phase_scale)
        return self.transform.inverse(spectra).clamp(-1, 1)

    def bound(self, clean: Tensor, corrupted: Tensor) -> Bound:
        """See ``Refiner.bound``; of the representation."""
        target = self.represent(clean)
        return self.inner.bound(target, target if corrupted is clean else self.represent(corrupted))

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.distortion(self.represent(x), h)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return self.inner.log_prob(self.represent(x), h)

    @property
    def entries(self) -> int:
        """Of the representation, which has four times as many as the waveform."""
        return self.inner.entries

    @staticmethod
    def _weighed(y: Tensor, weight: float) -> Tensor:
        """Every second channel, the frequencies, times a weight."""
        return y * numbers([1.0, weight], y).repeat(y.shape[1] // 2).view(-1, 1, 1)
