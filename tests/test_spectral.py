"""Restoring recordings by their spectra: periods that go on, loudness around gaps, masks and gains."""

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.spectral_mask import SpectralMask
from stable_diffusion_lab.layer.continuation import continued, loudness
from stable_diffusion_lab.layer.stft import STFT
from stable_diffusion_lab.refiner.spectral_gain import SpectralGain

LENGTH = 2048


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def periodic(period: int, channels: int = 1) -> Tensor:
    once = torch.randn(1, channels, period, generator=rng())
    return once.repeat(1, 1, -(-LENGTH // period))[..., :LENGTH]


def gaps(*spans: tuple[int, int]) -> Tensor:
    seen = torch.ones(1, 1, LENGTH)
    for first, last in spans:
        seen[..., first:last] = 0
    return seen


@pytest.mark.parametrize("period", [20, 57, 240])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_periodic_goes_on_exactly(period: int, channels: int) -> None:
    whole, seen = periodic(period, channels), gaps((600, 1100), (1600, 1601))
    assert torch.equal(continued(whole * seen, seen), whole)


def test_each_sample_of_a_batch_has_its_own_gaps_and_periods() -> None:
    whole = torch.cat([periodic(period) for period in (31, 90, 200)])
    seen = torch.cat([gaps((500, 700)), gaps(), gaps((900, 1500), (2000, 2048))])
    assert torch.equal(continued(whole * seen, seen), whole)


def test_nothing_comes_before_the_beginning_and_everything_else_stays() -> None:
    x, seen = torch.randn(1, 1, LENGTH, generator=rng()), gaps((0, 300), (700, 900))
    found = continued(x * seen, seen)
    assert not found[..., :300].any() and found[..., 700:900].all()
    assert torch.equal(found[seen > 0], x[seen > 0])
    assert not continued(torch.zeros(1, 1, LENGTH), gaps((0, LENGTH))).any()


def test_loudness_of_a_gap_is_a_line_of_power_between_its_sides() -> None:
    x = torch.cat([torch.full((1, 1, 1000), 0.3), torch.full((1, 1, LENGTH - 1000), -0.1)], dim=2)
    seen = gaps((900, 1200))
    found = loudness(x * seen, seen, 64)
    assert found[0, 0, 500].item() == pytest.approx(0.3)
    assert found[0, 0, 1049].square().item() == pytest.approx((0.09 + 0.01) / 2, rel=0.01)
    assert found[0, 0, 1300].item() == pytest.approx(0.1)
    ends = gaps((0, 200), (1900, LENGTH))
    torch.testing.assert_close(loudness(x * ends, ends, 64)[..., [0, -1]], torch.tensor([[[0.3, 0.1]]]))
    assert not loudness(x * 0, gaps((0, LENGTH)), 64).any()


def test_short_time_spectra_are_those_of_the_waveform_they_come_from() -> None:
    transform, x = STFT(256), torch.randn(3, 2, 2000, generator=rng())
    assert transform(x).shape == (3, 2, 129, 16)
    torch.testing.assert_close(transform.inverse(transform(x), 2000), x, atol=1e-5, rtol=0)


def generator() -> SpectralMask:
    torch.manual_seed(0)
    return SpectralMask(8, (1, LENGTH), channels=8, levels=1, hidden_dim=8, window=128)


def observation(x: Tensor, seen: Tensor) -> Observation:
    return Observation(x * seen, seen, seen)


def test_between_two_silences_drafts_are_exactly_silent_and_elsewhere_they_differ_by_their_noise() -> None:
    x = torch.randn(1, 1, LENGTH, generator=rng())
    x[..., 1000:] = 0
    seen = gaps((400, 600), (1500, 1700))
    told = Observation(*(part.expand(2, -1, -1) for part in observation(x, seen)))
    one, other = generator()(torch.randn(2, 8, generator=rng()), told).detach()
    assert not one[:, 1300:1900].any()
    assert (one != other)[:, 450:550].all()


def test_drafts_are_as_loud_as_what_they_are_drafted_for() -> None:
    x, seen, noise = torch.randn(1, 1, LENGTH, generator=rng()), gaps((400, 600)), torch.randn(1, 8)
    net = generator()
    quiet, loud = (net(noise, observation(size * x, seen)) for size in (0.01, 1.0))
    torch.testing.assert_close(100 * quiet, loud, atol=2e-3, rtol=0)


def gain() -> SpectralGain:
    torch.manual_seed(0)
    return SpectralGain(lambda **facts: parts.LinearRefiner(**facts), (1, LENGTH), 4, 0.5, 8, 1, 128)


def test_gains_begin_by_leaving_drafts_alone_and_leave_silence_silent_for_ever() -> None:
    refiner, x = gain(), torch.rand(2, 1, LENGTH, generator=rng()) * 2 - 1
    torch.testing.assert_close(refiner(x), x, atol=1e-5, rtol=0)
    torch.nn.init.normal_(refiner.correct.leave.weight)
    x[..., 1000:] = 0
    assert not refiner(x)[..., 1200:].any()
    assert (refiner(x) - x)[..., :900].abs().max() > 0.1


@pytest.mark.parametrize("shape", [(5,), (1, 8, 8)])
def test_only_waveforms_have_spectra(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="generator=unet"):
        SpectralMask(8, shape)
    with pytest.raises(ConfigError, match="refiner=skip"):
        SpectralGain(parts.LinearRefiner, shape, 4, 0.5)
