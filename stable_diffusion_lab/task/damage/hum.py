"""The mains."""

import math

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.distortion import Distortion
from stable_diffusion_lab.task.damage.loudness import disturbed


class Hum(Distortion):
    """A tone and its harmonics added at a signal-to-noise ratio, uniform in dB.

    The k-th harmonic has the amplitude 1/k and a phase of its own in every sample, the same in all channels;
    those at half the rate and above are left out.

    Args:
        rate: samples per second of the waveforms.
        frequency: of the mains in Hz: 50, in America and parts of Asia 60.
        harmonics: their number, the tone itself among them.
        lowest: least ratio in dB, drawn for each sample.
        highest: greatest.

    Raises:
        ConfigError: if ``lowest`` is above ``highest``, or the tone itself is at half the rate or above.
    """

    directions = frozenset({1})

    def __init__(
        self,
        rate: PositiveInt,
        frequency: PositiveFloat,
        harmonics: PositiveInt,
        lowest: float,
        highest: float,
    ) -> None:
        if frequency >= rate / 2:
            message = f"damage frequency: {frequency} Hz is not below half the rate, {rate / 2} Hz"
            raise ConfigError("CFG-VALUE", message)
        self.ratio = Between(lowest, highest)
        self.phase = Between(0.0, 1.0)
        orders = torch.arange(1, harmonics + 1)
        self.orders = orders[orders * frequency < rate / 2]
        self.turns = frequency / rate  # per sample

    def distort(self, sample: Tensor, rng: torch.Generator) -> Tensor:
        ratio = self.ratio.each(sample, rng)
        phase = self.phase.draw(rng, len(sample), len(self.orders), 1)
        cycles = self.turns * self.orders[:, None].double() * torch.arange(sample.shape[2])
        wave = torch.sin(2 * math.pi * (cycles.frac().float() + phase)) / self.orders[:, None]
        tone = wave.sum(dim=1, keepdim=True).to(sample, non_blocking=True).expand_as(sample)
        return disturbed(sample, tone, ratio)
