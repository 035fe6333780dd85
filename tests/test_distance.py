"""Distances of restored samples from their originals: closed forms."""

import math

import parts
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.objective.distance.base import Distance
from stable_diffusion_lab.objective.distance.power import Power
from stable_diffusion_lab.objective.distance.waveform import Waveform


def waves(n: int = 4) -> Tensor:
    return torch.randn(n, 1, 2048, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 10


@pytest.mark.parametrize("name", parts.members("distance"))
def test_it_is_least_at_the_original_and_slopes_are_finite_even_there(name: str) -> None:
    distance = build(OmegaConf.load(parts.CONF / "distance" / f"{name}.yaml"))
    assert isinstance(distance, Distance)
    clean = waves()
    clean[0] = 0
    own = clean.clone().requires_grad_()
    least = distance(own, clean)
    assert least < distance(clean + 0.01, clean) < distance(clean + 0.1, clean)
    least.backward()
    assert own.grad is not None and own.grad.isfinite().all()


def test_powers() -> None:
    clean = waves()
    assert Power(1.0)(clean - 0.3, clean).item() == pytest.approx(0.3)
    assert Power(2.0)(clean - 0.3, clean).item() == pytest.approx(0.09)


def test_a_gain_of_one_decibel_is_one_decibel_of_spectra_and_the_noise_that_it_makes() -> None:
    clean, gain = waves() + 0.5, 10**0.05
    found = Waveform(1.0, (128, 512), floor=1e-9, least=1e-12)(gain * clean, clean).item()
    assert found == pytest.approx(0.1 + 2 * math.log10(gain - 1), rel=1e-4)


def test_quiet_recordings_count_as_much_as_loud_ones() -> None:
    clean = waves(2)
    distance = Waveform(0.0)
    loud, quiet = (distance(size * (clean + 0.01), size * clean).item() for size in (1.0, 0.01))
    assert loud == pytest.approx(quiet)


def test_nothing_is_gained_below_the_least_error() -> None:
    clean = waves()
    distance = Waveform(0.0, least=1e-4)
    assert distance(clean, clean).item() == pytest.approx(-4)
    assert distance(clean * (1 + 1e-4), clean).item() == pytest.approx(-4, abs=1e-3)
