"""How close restored samples are: against other libraries and closed forms."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import parts
import pytest
import scipy.signal
import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.error import CheckpointError, ConfigError
from stable_diffusion_lab.fidelity import lpips
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.fidelity.log_spectral_distance import LogSpectralDistance
from stable_diffusion_lab.fidelity.pesq import PESQ
from stable_diffusion_lab.fidelity.si_sdr import SISDR
from stable_diffusion_lab.fidelity.stoi import STOI

RATE = 8000
FIDELITIES = [name for name in parts.members("fidelity") if name != "none"]
NOT_FOR = {
    **{name: ["waveforms"] for name in ("ssim", "lpips")},
    **{name: ["images"] for name in ("si_sdr", "log_spectral_distance", "stoi", "pesq")},
}
NEEDS = {"stoi": "pystoi", "pesq": "pesq"}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(sample: Tensor) -> Observation:
    everything = sample.new_ones(len(sample), 1, *sample.shape[2:])
    return Observation(sample, everything, everything * 0)


def speech(n: int, channels: int = 1, seconds: float = 1.0) -> Tensor:
    """Noise in syllables, with the spectrum of a voice more or less."""
    noise = np.random.default_rng(0).normal(size=(n, channels, int(seconds * RATE)))
    voiced = scipy.signal.lfilter([1], [1, -0.9], noise)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * np.arange(voiced.shape[2]) / RATE)
    return torch.from_numpy(0.1 * voiced * syllables).float()


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the form of torchvision's, with weights as at the start of a training."""
    torch.manual_seed(0)
    weights = {f"features.{name}": weight for name, weight in lpips.alexnet().state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "alexnet.pt"
    torch.save({**weights, "classifier.1.weight": torch.zeros(3)}, path)
    return path


@pytest.fixture
def made(alexnet: Path) -> Callable[[str], Fidelity]:
    """Fidelities by the names of their YAML files."""
    return lambda name: make(name, alexnet)


def make(name: str, alexnet: Path) -> Fidelity:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="needs an extra: audio, pesq")
    overrides = ["data=mnist", f"fidelity=[{name}]"]
    if "path: ???" in (parts.CONF / "fidelity" / f"{name}.yaml").read_text():
        overrides.append(f"fidelity.{name}.path={alexnet}")
    (node,) = compose("train", overrides).fidelity.values()
    fidelity: Fidelity = build(node)
    return fidelity


@pytest.mark.parametrize("name", FIDELITIES)
@pytest.mark.parametrize("kind", ["images", "waveforms"])
def test_every_fidelity_prefers_what_is_closer(name: str, kind: str, made: Callable[[str], Fidelity]) -> None:
    fidelity = made(name)
    clean = speech(3, 2) if kind == "waveforms" else torch.rand(3, 3, 40, 40, generator=rng()) * 2 - 1
    noise = 0.05 * torch.randn(clean.shape, generator=rng(1))
    if kind in NOT_FOR.get(name, ()):
        with pytest.raises(ConfigError, match="leave it out") as caught:
            fidelity(clean, clean, whole(clean))
        assert caught.value.tag == "CFG-FIT" and "\n" not in str(caught.value)
        assert str(list(clean.shape[1:])) in str(caught.value)
        return
    near, far, itself = (fidelity(clean + k * noise, clean, whole(clean)) for k in (0.1, 2.0, 0.0))
    assert near.keys() == fidelity.higher_is_better.keys()
    for key, up in fidelity.higher_is_better.items():
        for values in (near[key], far[key], itself[key]):
            assert values.shape == (3,) and values.isfinite().all()
        assert ((near[key] > far[key]) == up).all()
        assert ((itself[key] >= near[key]) if up else (itself[key] <= near[key])).all()
        alone = fidelity((clean + 2 * noise)[1:2], clean[1:2], whole(clean[1:2]))[key]
        torch.testing.assert_close(alone, far[key][1:2], atol=1e-4, rtol=1e-4)


def test_si_sdr_is_its_definition_and_does_not_see_loudness() -> None:
    clean = speech(3, 2).double()
    restored = clean + 0.02 * torch.randn(clean.shape, generator=rng()).double()
    dot = (restored * clean).sum(dim=2, keepdim=True)
    target = dot / clean.square().sum(dim=2, keepdim=True) * clean
    expected = 10 * (target.square().sum(dim=2) / (restored - target).square().sum(dim=2)).log10()
    found = SISDR()(restored, clean, whole(clean))["si_sdr"]
    torch.testing.assert_close(found, expected.mean(dim=1))
    torch.testing.assert_close(SISDR()(0.1 * restored, clean, whole(clean))["si_sdr"], found)


def test_si_sdr_of_copies_and_silence_is_finite() -> None:
    clean = speech(2)
    assert SISDR()(clean, clean, whole(clean))["si_sdr"].abs().max() <= 100
    silence = torch.zeros_like(clean)
    assert SISDR()(silence, clean, whole(clean))["si_sdr"].isfinite().all()
    assert SISDR()(clean, silence, whole(clean))["si_sdr"].isfinite().all()


def test_log_spectral_distance_of_a_change_in_loudness_is_that_change() -> None:
    clean = torch.randn(2, 1, 4096, generator=rng())
    found = LogSpectralDistance(256)(clean * 10 ** (-6 / 20), clean, whole(clean))["lsd"]
    torch.testing.assert_close(found, torch.full((2,), 6.0), atol=1e-3, rtol=0)


def test_log_spectral_distance_is_that_of_scipys_spectra() -> None:
    clean, restored = torch.randn(2, 2, 1, 2048, generator=rng()).double()
    powers = []
    for x in (clean, restored):
        window = scipy.signal.get_window("hann", 256)
        transform = scipy.signal.ShortTimeFFT(2 * window / window.sum(), 64, 1)
        spectra = transform.stft(x.numpy()[:, 0], p0=0, p1=2048 // 64 + 1)
        powers.append(20 * np.log10(np.abs(spectra)))
    expected = np.sqrt(((powers[0] - powers[1]) ** 2).mean(axis=1)).mean(axis=1)
    found = LogSpectralDistance(256)(restored, clean, whole(clean))["lsd"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_silence_is_a_hundred_decibels_below_a_tone() -> None:
    tone = torch.sin(2 * math.pi * 32 / 256 * torch.arange(4096))[None, None]
    decibel = LogSpectralDistance(256).decibel(tone)
    assert decibel[..., 4:-4].amax(dim=2).sub(0).abs().max() < 1e-3
    assert (LogSpectralDistance(256).decibel(0 * tone) == -100).all()


def test_stoi_is_pystois() -> None:
    pystoi = pytest.importorskip("pystoi", reason="needs the extra: audio")
    clean = speech(3, 2)
    restored = clean + 0.2 * torch.randn(clean.shape, generator=rng())
    found = STOI(RATE)(restored, clean, whole(clean))["stoi"]
    for i in range(3):
        pairs = zip(clean[i].numpy(), restored[i].numpy(), strict=True)
        assert found[i].item() == pytest.approx(
            np.mean([pystoi.stoi(a, b, RATE) for a, b in pairs]), abs=1e-5
        )


@pytest.mark.parametrize("rate", [8000, 16000])
def test_pesq_is_torchmetrics(rate: int) -> None:
    pytest.importorskip("pesq", reason="needs the extra: pesq")
    from torchmetrics.functional.audio.pesq import perceptual_evaluation_speech_quality

    clean = speech(3)
    restored = clean + 0.02 * torch.randn(clean.shape, generator=rng())
    found = PESQ(rate)(restored, clean, whole(clean))["pesq"]
    mode = {8000: "nb", 16000: "wb"}[rate]
    expected = perceptual_evaluation_speech_quality(restored[:, 0], clean[:, 0], rate, mode)
    torch.testing.assert_close(found, expected)


def test_pesq_of_silence_is_the_worst() -> None:
    pytest.importorskip("pesq", reason="needs the extra: pesq")
    clean = speech(2)
    restored = clean * torch.tensor([0.0, 1.0])[:, None, None]
    found = PESQ(RATE)(restored, clean, whole(clean))["pesq"]
    assert found[0] == 1 and found[1] > 4


@pytest.mark.parametrize(("kind", "module", "extra"), [(STOI, "pystoi", "audio"), (PESQ, "pesq", "pesq")])
def test_what_is_missing_is_named_in_one_line(
    kind: type[STOI | PESQ], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"fidelity.{kind.__name__.lower()}: {module} .*lab\[{extra}\]"):
        kind(RATE)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_speech_that_is_too_short_is_refused(name: str, made: Callable[[str], Fidelity]) -> None:
    fidelity, clean = made(name), speech(2, seconds=0.1)
    with pytest.raises(ConfigError, match=r"samples have 0\.10 s"):
        fidelity(clean, clean, whole(clean))


def test_pesq_knows_two_rates() -> None:
    pytest.importorskip("pesq", reason="needs the extra: pesq")
    with pytest.raises(ConfigError, match=r"rate: 22050; it is for \[8000, 16000\]"):
        PESQ(22050)


@pytest.mark.parametrize("size", [(64, 64), (70, 96)])
def test_lpips_is_torchmetrics_with_the_same_weights(
    size: tuple[int, int], alexnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchmetrics.functional.image.lpips as reference

    fidelity = lpips.LPIPS(str(alexnet))
    pooled = torch.nn.Sequential(*fidelity.features, torch.nn.MaxPool2d(3, 2))
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_, **__: pooled)
    clean, restored = torch.rand(2, 4, 3, *size, generator=rng()) * 2 - 1
    expected = reference._LPIPS(net="alex")(restored, clean)[:, 0, 0, 0]
    found = fidelity(restored, clean, whole(clean))["lpips"]
    assert expected.min() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_lpips_wants_the_weights_of_alexnet(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        lpips.LPIPS(str(tmp_path / "alexnet.pt"))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="do not fit the layers of AlexNet"):
        lpips.LPIPS(str(tmp_path / "other.pt"))
