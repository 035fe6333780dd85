"""What waveforms sound like, without a network."""

from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt, Some
from stable_diffusion_lab.layer.spectrum import Magnitude
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.network import Network


class Spectrogram(Network):
    """Compares log-magnitudes of short-time spectra at several resolutions, each a layer.

    The last axis of a sample is time. Neither phases nor what the judge has learnt take part.

    Args:
        sizes: of the windows, in samples; they overlap by three quarters.
        floor: magnitude, with a sinusoid of amplitude 1 at 1, below which everything is silence.
        pool: largest side of a spectrogram that is compared, in frequency and in time.
        layers: see ``Network``.
        bank: see ``Feature``.
    """

    def __init__(
        self,
        sizes: Some[PositiveInt] = (64, 256, 1024),
        floor: PositiveFloat = 1e-3,
        pool: PositiveInt = 16,
        layers: Some[int] | None = None,
        bank: NonNegativeInt = 0,
    ) -> None:
        super().__init__(pool, layers, bank)
        self.magnitudes = nn.ModuleList(Magnitude(size, floor=floor) for size in sizes)

    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        waves = x.flatten(1, -2) if x.dim() > 2 else x[:, None]
        return [magnitude(waves).log() for magnitude in self.magnitudes]
