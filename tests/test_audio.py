"""Recordings: what is read, what is refused, how they are shown and kept, and what transforms promise."""

import io
import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy
import parts
import pytest
import torch
from scipy.fft import dct
from scipy.signal import ShortTimeFFT
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.data.spoken_digits import SpokenDigits
from stable_diffusion_lab.data.waveform_folder import WaveformFolder
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.extractor.random_spectrogram import RandomSpectrogram
from stable_diffusion_lab.extractor.spectrogram_classifier import SpectrogramClassifier
from stable_diffusion_lab.generator.wavegan import WaveGAN
from stable_diffusion_lab.layer.instantaneous_frequency import InstantaneousFrequency
from stable_diffusion_lab.layer.mdct import MDCT
from stable_diffusion_lab.layer.spectrum import FLOOR, LogMel, Magnitude, mel_filters
from stable_diffusion_lab.modality.audio import RANGE, SIZE, Audio
from stable_diffusion_lab.objective.critic.wavegan import WaveGAN as Critic
from stable_diffusion_lab.refinement.spectral import Spectral, stft_loss
from stable_diffusion_lab.refiner import convolutional, convolutional_1d, instantaneous_frequency, mdct

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
RATE = 8000
RNG = numpy.random.default_rng(0)


def tone(hertz: float, length: int, rate: int = RATE, amplitude: float = 0.5) -> numpy.ndarray:
    return amplitude * numpy.sin(2 * math.pi * hertz * numpy.arange(length) / rate)


def write(path: Path, wave: numpy.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=subtype)


def write_digits(root: Path, takes: int = 12) -> None:
    """Digit d is a tone of 300 + 150 d Hz, of one of five lengths."""
    for digit in range(10):
        for take in range(takes):
            wave = tone(300 + 150 * digit, 500 + 40 * (take % 5))
            write(root / "recordings" / f"{digit}_someone_{take}.wav", wave)


def write_folder(folder: Path, count: int = 40) -> None:
    for i in range(count):
        write(folder / f"{i:03}.wav", RNG.uniform(-1, 1, 300))


def folder(path: Path, channels: int = 1, length: int = 300, pad: bool = True) -> WaveformFolder:
    return WaveformFolder(str(path), (channels, length), RATE, length, channels, pad)


def everything(data: WaveformFolder | SpokenDigits) -> Tensor:
    return torch.cat([split.samples for split in data.splits.values()])


# The modality.


def test_every_value_of_sixteen_bits_survives_the_way_to_a_sample_and_back() -> None:
    stored = torch.arange(-(2**15), 2**15).to(torch.int16).view(4, 2, -1)
    sample = Audio(RATE).to_sample(stored)
    assert sample.dtype == torch.float32
    assert sample.min() == -1 and sample.max() < 1
    assert torch.equal(Audio(RATE).to_stored(sample), stored)
    assert torch.equal(Audio(RATE).to_stored(sample.double()), stored)
    assert Audio(RATE).to_stored(torch.tensor([-7.0, 7.0])).tolist() == [-(2**15), 2**15 - 1]


@pytest.mark.parametrize("channels", [1, 2])
def test_each_recording_is_a_wav_file_of_its_own(channels: int) -> None:
    stored = torch.randint(-(2**15), 2**15, (3, channels, 50), dtype=torch.int16)
    arrays = Audio(RATE).array(stored)
    assert arrays.shape == ((3, 50) if channels == 1 else (3, 50, 2))
    for data, array in zip(Audio(RATE).files(stored), arrays, strict=True):
        found, rate = soundfile.read(io.BytesIO(data), dtype="int16")
        assert rate == RATE and (found == array).all()
        assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"


def test_a_tone_is_a_bright_line_at_its_frequency_and_as_loud_as_it_is() -> None:
    waves = torch.from_numpy(numpy.stack([tone(1000, 4096, amplitude=a) for a in (1.0, 0.01)]))
    panel = numpy.asarray(Audio(RATE).panel(Audio(RATE).to_stored(waves[:, None])))
    for index, decibels in enumerate((0, -40)):
        left = 2 + index * (SIZE[0] + 2)
        column = panel[2 : 2 + SIZE[1], left + SIZE[0] // 2].astype(int)
        row = SIZE[1] * (1 - 1000 / (RATE / 2))
        assert abs(int(column.argmax()) - row) <= 1.5
        assert column.max() == pytest.approx(255 * (1 + decibels / RANGE), abs=10)
        assert column[: SIZE[1] // 2].max() <= 10, "nothing above 2 kHz"


def test_drafts_and_refinements_stand_side_by_side() -> None:
    stored = torch.randint(-(2**15), 2**15, (5, 1, 1000), dtype=torch.int16)
    picture = Audio(RATE).picture(stored, stored)
    assert picture.size == (2 * (3 * (SIZE[0] + 2) + 2) + 8, 2 * (SIZE[1] + 2) + 2)


# Folders.


def test_sixteen_bit_files_of_the_right_rate_are_read_to_the_bit(tmp_path: Path) -> None:
    write_folder(tmp_path)
    waves = [soundfile.read(path, dtype="int16")[0] for path in sorted(tmp_path.iterdir())]
    found = everything(folder(tmp_path))[:, 0].tolist()
    assert sorted(found) == sorted(wave.tolist() for wave in waves)


def test_splits_stay_when_files_are_added_and_pieces_of_a_file_stay_together(tmp_path: Path) -> None:
    write_folder(tmp_path)
    before = folder(tmp_path, length=100)
    (tmp_path / ".hidden.wav").write_text("no sound")
    (tmp_path / "notes.txt").write_text("no sound")
    write_folder(tmp_path / "more")
    after = folder(tmp_path, length=100)
    for name, split in before.splits.items():
        rows = {row.numpy().tobytes() for row in split.samples}
        assert len(split.samples) % 3 == 0, "three pieces each"
        assert rows < {row.numpy().tobytes() for row in after.splits[name].samples}
        assert split.labels is None


@pytest.mark.parametrize(("pad", "pieces"), [(True, 3), (False, 2)])
def test_a_file_is_cut_into_pieces(tmp_path: Path, pad: bool, pieces: int) -> None:
    write_folder(tmp_path)
    data = folder(tmp_path, length=128, pad=pad)
    whole = soundfile.read(tmp_path / "000.wav", dtype="int16")[0]
    everyone = everything(data)
    assert len(everyone) == 40 * pieces
    first = next(i for i, row in enumerate(everyone[:, 0]) if (row.numpy() == whole[:128]).all())
    assert (everyone[first + 1, 0].numpy() == whole[128:256]).all()
    if pad:
        last = everyone[first + 2, 0].numpy()
        assert (last[:44] == whole[256:]).all() and not last[44:].any()


def test_another_rate_is_resampled_and_keeps_its_tone(tmp_path: Path) -> None:
    for i in range(40):
        write(tmp_path / f"{i}.wav", tone(440 + i, 3 * 4410, rate=44100), rate=44100)
    data = folder(tmp_path, length=2400)
    for row in Audio(RATE).to_sample(everything(data))[:, 0]:
        spectrum = torch.fft.rfft(row * torch.hann_window(2400)).abs()
        peak = spectrum.argmax() * RATE / 2400
        assert 436 <= peak <= 484
        assert row[500:1500].abs().max() == pytest.approx(0.5, abs=0.01)


def test_channels_are_mixed_or_doubled(tmp_path: Path) -> None:
    left, right = RNG.uniform(-1, 1, (2, 40, 100))
    for i in range(40):
        write(tmp_path / "stereo" / f"{i}.flac", numpy.stack([left[i], right[i]], axis=1))
        write(tmp_path / "mono" / f"{i}.wav", left[i])
    both = everything(folder(tmp_path / "stereo", 2, 100)).double()
    mixed = everything(folder(tmp_path / "stereo", 1, 100)).double()
    torch.testing.assert_close(both.mean(dim=1, keepdim=True), mixed, atol=0.5, rtol=0)
    doubled = everything(folder(tmp_path / "mono", 2, 100))
    assert torch.equal(doubled[:, 0], doubled[:, 1])
    with pytest.raises(ConfigError, match=r"data\.channels: 3; choose from \[1, 2\]"):
        folder(tmp_path / "mono", 3, 100)


def cut(path: Path) -> None:
    write(path, tone(440, 400))
    path.write_bytes(path.read_bytes()[: 444 if path.suffix == ".wav" else 200])


def streamed(path: Path) -> None:
    write(path, tone(440, 400))
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(data)


def headless(path: Path) -> None:
    write(path, tone(440, 400))
    path.write_bytes(path.read_bytes()[:44])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.wav": (cut, "the header promises 400 frames, there are 200"),
    "cut.flac": (cut, ""),
    "streamed.wav": (streamed, "the header promises .* there are 400"),
    "header.wav": (headless, "holds no sound"),
    "empty.wav": (Path.touch, "empty file"),
    "page.wav": (lambda path: path.write_text("<!DOCTYPE html>"), "Format not recognised"),
    "silent.wav": (lambda path: write(path, numpy.zeros(0)), "holds no sound"),
    "nan.wav": (
        lambda path: write(path, numpy.array([0.0, math.nan]), subtype="FLOAT"),
        "holds NaN or infinity",
    ),
    "many.wav": (lambda path: write(path, numpy.zeros((9, 6))), "6 channels, wanted 2"),
    "link.wav": (lambda path: path.symlink_to("/nowhere/at/all.wav"), "No such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path)
    make, reason = BAD[name]
    make(tmp_path / name)
    with pytest.raises(DataError, match=rf"1 of 41 recordings unreadable, .*: {name}: .*{reason}") as caught:
        folder(tmp_path, channels=2)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_a_compressed_file_that_is_cut_is_named(tmp_path: Path) -> None:
    """Of which a byte is more than a frame."""
    write(tmp_path / "x.wav", tone(440, 4000), subtype="IMA_ADPCM")
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:1200])
    with pytest.raises(DataError, match=r"x\.wav: the header promises"):
        folder(tmp_path)


def test_all_bad_files_are_named_in_one_line(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name, (make, _) in BAD.items():
        make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        folder(tmp_path, channels=2)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in BAD)


def test_a_folder_that_is_missing_or_empty_or_too_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: No such file or directory; set data\.path"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no recordings; they end in"):
        folder(tmp_path)
    write_folder(tmp_path)
    with pytest.raises(DataError, match=r"no recording has 301 samples; lower data\.length"):
        folder(tmp_path, length=301, pad=False)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(ConfigError, match=r"stable-diffusion-lab\[audio\]"):
        folder(tmp_path)
    with pytest.raises(ConfigError, match=r"stable-diffusion-lab\[audio\]"):
        Audio(RATE).files(torch.zeros(1, 1, 9, dtype=torch.int16))


# Spoken digits.


def test_takes_are_splits_and_the_first_letter_is_the_label(tmp_path: Path) -> None:
    write_digits(tmp_path)
    data = SpokenDigits(str(tmp_path), (1, 1024), RATE, 1024)
    assert [len(split.samples) for split in data.splits.values()] == [20, 50, 50]
    for split in data.splits.values():
        assert split.labels is not None
        spectrum = torch.fft.rfft(Audio(RATE).to_sample(split.samples)[:, 0]).abs()
        peak = spectrum.argmax(dim=1) * RATE / 1024
        assert ((peak - 300 - 150 * split.labels).abs() < 10).all()


def test_short_recordings_lie_in_the_middle_and_of_long_ones_the_loudest_stretch_is_kept(
    tmp_path: Path,
) -> None:
    write_digits(tmp_path)
    wave = numpy.concatenate([numpy.zeros(900), tone(440, 700), numpy.zeros(900)])
    write(tmp_path / "recordings" / "7_other_0.wav", wave)
    test = SpokenDigits(str(tmp_path), (1, 700), RATE, 700).test
    (long,) = [row[0] for row in test.samples if row[0, -1].abs() > 100 and row[0].abs().max() > 15000]
    assert abs(long.numpy() - tone(440, 700) * 2**15).max() < 2
    short = SpokenDigits(str(tmp_path), (1, 1000), RATE, 1000).test.samples[0, 0]  # 500 values
    assert not short[:250].any() and not short[751:].any() and short[250:270].any()


def test_a_root_without_spoken_digits_says_what_to_do(tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(DataError, match=r"no recordings named <digit>_.*clone .*or set data\.root"):
        SpokenDigits(str(tmp_path), (1, 1024), RATE, 1024)
    with pytest.raises(DataError, match=r"set data\.root"):
        SpokenDigits(str(tmp_path / "nowhere"), (1, 1024), RATE, 1024)


@pytest.mark.skipif("SDLAB_DATA" not in os.environ, reason="SDLAB_DATA is not set: no spoken digits here")
def test_spoken_digits_proper() -> None:
    data = SpokenDigits(f"{os.environ['SDLAB_DATA']}/fsdd", (1, 6144), RATE)
    assert [len(split.samples) for split in data.splits.values()] == [2400, 300, 300]
    for split in data.splits.values():
        assert split.labels is not None
        assert split.labels.bincount().tolist() == [len(split.labels) // 10] * 10


# Transforms.


def test_mdct_is_a_rotation() -> None:
    for bins, length in [(8, 8), (8, 48), (2, 10)]:
        matrix = MDCT(bins)(torch.eye(length)[:, None].double()).flatten(1)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(length).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(matrix.T @ matrix, torch.eye(length).double(), atol=1e-6, rtol=0)


def test_mdct_is_folding_and_scipys_dct_of_the_fourth_kind() -> None:
    bins = 16
    x = torch.randn(1, 1, 4 * bins).double()
    frame = torch.cat([x[0, 0, -bins // 2 :], x[0, 0, : 3 * bins // 2]])  # the first, half before the start
    window = torch.sin(math.pi / (2 * bins) * (torch.arange(2 * bins).double() + 0.5))
    a, b, c, d = (frame * window).chunk(4)
    folded = torch.cat([-c.flip(0) - d, a - b.flip(0)])
    expected = dct(folded.numpy(), type=4, norm="ortho")
    torch.testing.assert_close(MDCT(bins)(x)[0, 0, :, 0], torch.from_numpy(expected), atol=1e-6, rtol=1e-5)


def test_mdct_turns_back() -> None:
    x = torch.randn(3, 2, 64)
    torch.testing.assert_close(MDCT(8).inverse(MDCT(8)(x)), x)
    assert MDCT(8)(x).shape == (3, 2, 8, 8)


def test_magnitudes_are_scipys_and_one_for_a_full_tone() -> None:
    x = torch.randn(512).double() * 0.1
    window = torch.hann_window(64).double()
    reference = ShortTimeFFT((2 * window / window.sum()).numpy(), 16, 1)
    expected = torch.from_numpy(reference.stft(x.numpy(), p0=0, p1=33)).abs()
    found = Magnitude(64)(x[None])[0]
    torch.testing.assert_close(found, (expected.square() + FLOOR**2).sqrt(), rtol=1e-5, atol=1e-8)
    loud = Magnitude(64)(torch.from_numpy(tone(1000, 512, amplitude=1.0))[None])[0]
    assert loud[8, 10].item() == pytest.approx(1, abs=1e-3)  # 1000 Hz is the eighth bin of 125 Hz
    assert Magnitude(64)(torch.zeros(1, 512)).max().item() == pytest.approx(FLOOR)


def test_magnitudes_of_silence_have_a_slope() -> None:
    x = torch.zeros(1, 512, requires_grad=True)
    Magnitude(64)(x).log().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_mel_filters_add_up_to_one_and_rise_in_frequency() -> None:
    weights = mel_filters(RATE, 40, 129)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(40).double())
    centres = (weights * torch.arange(129)).sum(dim=1)
    assert (centres.diff() > 0).all()
    mel = 2595 * torch.log10(1 + centres * (RATE / 2 / 128) / 700)
    assert mel.diff()[5:].std() / mel.diff()[5:].mean() < 0.1, "equally wide in mel, where bins are narrow"


def test_log_mel_is_zero_for_minus_forty_decibels_in_one_band() -> None:
    quiet, silent = torch.from_numpy(tone(1000, 4000, amplitude=0.01)), torch.zeros(4000).double()
    found = LogMel(RATE, 40, 256, 96)(torch.stack([quiet, silent])[:, None])
    assert found.shape == (2, 1, 40, 42)
    assert 0 > found[0, 0, :, 20].max() > -0.3
    assert found[1].max().item() == pytest.approx(-1.5, abs=1e-4)


def smooth(length: int) -> Tensor:
    """Noise without the highest frequencies, ``[3, 2, length]``."""
    spectrum = torch.fft.rfft(0.1 * torch.randn(3, 2, length))
    spectrum[..., int(0.9 * spectrum.shape[-1]) :] = 0
    return torch.fft.irfft(spectrum, length)


def test_instantaneous_frequencies_turn_back() -> None:
    transform, x = InstantaneousFrequency(32), smooth(512)
    y = transform(x)
    assert y.shape == (3, 4, 32, 512 // transform.hop)
    assert y.abs().max() <= 1
    error = (transform.inverse(y) - x).square().mean() / x.square().mean()
    assert error < 1e-3, "the highest bin is left out"
    assert transform.inverse(transform(torch.zeros(1, 1, 512))).abs().max() == 0


def test_a_steady_tone_has_a_steady_frequency() -> None:
    transform = InstantaneousFrequency(32)
    hertz = (10 + 0.25) * RATE / 64  # a quarter of a bin above the tenth
    level, turn = transform(torch.from_numpy(tone(hertz, 1024)).float()[None, None])[0, :, 10, 4:-4]
    torch.testing.assert_close(turn, torch.full_like(turn, 2 * 0.25 * transform.hop / 64), atol=1e-3, rtol=0)
    assert level.std() < 1e-3


# Networks and what they learn from.


@pytest.mark.parametrize("shape", [(1, 6144), (2, 100), (1, 16), (1, 17)])
def test_wavegan_draws_any_length(shape: tuple[int, int]) -> None:
    drafts = WaveGAN(4, 2, shape)(torch.randn(2, 4))
    assert drafts.shape == (2, *shape) and drafts.abs().max() <= 1


def test_networks_of_waveforms_refuse_what_is_none() -> None:
    inner = convolutional.Convolutional
    for shape in [(5,), (1, 8, 8), (1, 66)]:
        with pytest.raises(ConfigError, match="wants"):
            convolutional_1d.Convolutional1d(shape, 4, 4, 8, 0.1)
        for kind in (mdct.MDCT, instantaneous_frequency.InstantaneousFrequency):
            with pytest.raises(ConfigError, match="wants"):
                kind(inner, shape, 4, 0.1, 16)
    for shape in [(5,), (1, 8, 8)]:
        with pytest.raises(ConfigError, match="generator=mlp"):
            WaveGAN(4, 4, shape)
    for shape in [(5,), (1, 8, 8), (1, 16)]:
        with pytest.raises(ConfigError, match="critic=mlp"):
            Critic(shape)


def test_a_critic_of_waveforms_sees_classes_as_channels() -> None:
    critic = Critic((1, 64), width=4, conditions=3)
    assert critic.shape == (1, 67) and critic.net[0].weight.shape[1] == 4
    x = torch.randn(2, 1, 64)
    one, other = (torch.cat([x, torch.eye(3)[k].expand(2, 1, 3)], dim=2) for k in (0, 1))
    assert not torch.allclose(critic(one), critic(other))


def test_the_mdct_keeps_distances_so_the_likelihood_is_that_of_waveforms() -> None:
    refiner = mdct.MDCT(image_vae, (1, 512), 6, 0.1, bins=16)
    x, other = torch.rand(2, 4, 1, 512) * 0.2
    apart = (refiner.represent(x) - refiner.represent(other)).square().sum()
    torch.testing.assert_close(apart * refiner.unit**2, (x - other).square().sum())


def image_vae(shape: tuple[int, ...], latent_dim: int, decoder_scale: float) -> convolutional.Convolutional:
    return convolutional.Convolutional(shape, latent_dim, 4, 16, decoder_scale)


def test_stft_loss_is_zero_for_itself_and_hears_loudness_but_not_the_sign() -> None:
    x = 0.1 * torch.randn(3, 1, 512).double()
    a = Magnitude(64)(x)
    assert stft_loss(a, a) == 0
    torch.testing.assert_close(stft_loss(Magnitude(64)(-x), a), torch.zeros(()).double())
    twice = stft_loss(2 * a, a)
    torch.testing.assert_close(twice, torch.tensor(1 + math.log(2)).double())


def test_the_spectral_objective_teaches_the_refiner_to_sound_alike() -> None:
    torch.manual_seed(0)
    refiner = convolutional_1d.Convolutional1d((1, 512), 4, 8, 32, 0.05)

    class Model:
        pass

    model = Model()
    model.refiner = refiner  # type: ignore[attr-defined]
    waves = torch.stack([torch.from_numpy(tone(f, 512)).float() for f in (500, 900, 1400, 2000)])[:, None]
    batch, nothing = Batch(waves, None), Draft(torch.empty(0, 4), torch.empty(0, 1, 512))
    objective = Spectral((32, 128))
    learn = torch.optim.Adam(refiner.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        (loss,) = objective(model, batch, nothing).values()
        learn.zero_grad()
        loss.backward()
        learn.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


# Judges.


def test_judges_hear_digits_apart_and_leave_the_random_state_alone(tmp_path: Path) -> None:
    write_digits(tmp_path / "fsdd", takes=30)
    data = SpokenDigits(str(tmp_path / "fsdd"), (1, 2048), RATE, 2048)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained = SpectrogramClassifier((1, 2048), RATE, 16, 4, steps=40)
    untrained = RandomSpectrogram((1, 2048), RATE, 16, 4)
    for judge in (trained, untrained):
        judge.prepare(data, tmp_path / "cache")
        features = judge.extract(data.train.samples)
        assert features.shape == (200, 16) and not features.requires_grad
        assert features.var(dim=0).mean().item() == pytest.approx(1, abs=1e-4)
        nearest = torch.cdist(judge.extract(data.test.samples), features).argmin(dim=1)
        assert data.train.labels is not None
        assert (data.train.labels[nearest] == data.test.labels).float().mean() > 0.9
    assert torch.equal(torch.rand(3), expected)
    assert len(list((tmp_path / "cache").glob("classifier-*"))) == 1
    again = SpectrogramClassifier((1, 2048), RATE, 16, 4, steps=40)
    again.prepare(data, tmp_path / "cache")
    assert torch.equal(again.extract(data.test.samples), trained.extract(data.test.samples))


def test_judges_of_recordings_say_what_they_want(tmp_path: Path) -> None:
    for shape in [(5,), (1, 8, 8), (1, 1999)]:
        for kind in (SpectrogramClassifier, RandomSpectrogram):
            with pytest.raises(ConfigError, match=r"extractor\.shape: .* at extractor\.rate=8000"):
                kind(shape, RATE)
    write_folder(tmp_path)
    with pytest.raises(DataError, match="extractor=random_spectrogram"):
        SpectrogramClassifier((1, 2048), RATE).prepare(folder(tmp_path), tmp_path)


# The whole way.


def test_spoken_digits_train_and_leave_recordings_to_listen_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDLAB_CACHE", str(tmp_path / "cache"))
    write_digits(tmp_path / "fsdd", takes=14)
    words = ["data=spoken_digits", f"data.root={tmp_path}/fsdd", "data.length=2048", "extractor.steps=10"]
    words += ["extractor.feature_dim=16"]
    words += ["refiner=mdct", "refiner.inner.channels=4", "refiner.latent_dim=8", "generator.components=2"]
    words += ["refinement=[evidence,spectral]", "feature=spectrogram", "batch_size=16"]
    words += ["trainer.max_steps=12", "metric=[frechet]", "logger=none", f"runs={tmp_path}/runs"]
    words += ["evaluate_every=12", "sample_every=12", "save_every=12", "health=none", "seed=3"]
    assert main(["train", *words]) == 0
    (run,) = (tmp_path / "runs").glob("*/*")
    names = {path.name for path in (run / "samples").iterdir()}
    wanted = {f"step-00000012-{stage}-{i}.wav" for stage in ("draft", "refined") for i in range(4)}
    assert names == wanted | {"step-00000012.png"}
    # The data need not be there to write samples at their rate.
    (tmp_path / "fsdd").rename(tmp_path / "gone")
    assert main(["sample", f"run={run}", "n=3", f"out={tmp_path}/out", "seed=3"]) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "drafts").iterdir()) == [
        f"0000{i}.wav" for i in range(3)
    ]
    assert main(["sample", f"run={run}", "n=3", f"out={tmp_path}/out.npz", "seed=3"]) == 0
    arrays = numpy.load(tmp_path / "out.npz")
    assert arrays["samples"].shape == (3, 2048) and arrays["samples"].dtype == numpy.int16
    wave, rate = soundfile.read(tmp_path / "out" / "samples" / "00001.wav", dtype="int16")
    assert rate == RATE and (wave == arrays["samples"][1]).all()


@pytest.mark.parametrize(
    ("refiner", "explained"),
    [
        (["refiner=instantaneous_frequency"], "spectra of x"),
        (
            ["refiner=skip", "refiner@refiner.inner=instantaneous_frequency", "refiner.width=4"],
            "spectra of x",
        ),
        (["refiner=mdct"], "x"),  # a rotation, and a likelihood of waveforms
    ],
)
def test_bounds_are_called_what_they_are_of(
    refiner: list[str], explained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "recordings")
    words = ["data=waveform_folder", f"data.path={tmp_path}/recordings", *refiner]
    words += ["data.length=512", "data.rate=1000"]
    words += ["draft=pixels", "generator=wavegan", "generator.channels=4", "health=none", "logger=none"]
    words += ["objective=none", "batch_size=8", "trainer.max_steps=1", "metric=frechet"]
    words += ["extractor.feature_dim=2", f"runs={tmp_path}/runs"]
    assert main(["train", *words]) == 0, capsys.readouterr().err
    assert f"bounds on log p({explained}) in nats per value: elbo" in capsys.readouterr().out
    (found,) = (tmp_path / "runs").glob("*/*/test.json")
    assert json.loads(found.read_text())["log_likelihood_of"] == explained


def test_what_a_representation_costs_is_what_the_refiner_learns() -> None:
    torch.manual_seed(0)
    refiner = build(compose("train", parts.small_command("refiner", "instantaneous_frequency")).refiner)
    x = 0.1 * torch.randn(2, *refiner.shape)
    torch.manual_seed(1)
    bound = refiner.bound(x, x).distortion
    torch.manual_seed(1)
    torch.testing.assert_close(refiner.distortion(x, refiner.encode(x).sample()), bound)


def test_judges_that_hear_at_different_rates_are_kept_apart() -> None:
    data = SimpleNamespace(fingerprint="the same")
    keys = {SpectrogramClassifier((1, 4000), rate)._key(data) for rate in (8000, 8000, 8001)}
    assert len(keys) == 2
