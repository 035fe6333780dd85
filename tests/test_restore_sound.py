"""``sdlab restore`` of recordings: any length, and what is known stays bit for bit."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
import torch

from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command import restore
from stable_diffusion_lab.command.load import Trained
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.modality.audio import Audio
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.task.base import Task
from stable_diffusion_lab.task.damage.centre_box import CentreBox
from stable_diffusion_lab.task.damage.clipping import Clipping
from stable_diffusion_lab.task.damage.gaussian_noise import GaussianNoise
from stable_diffusion_lab.task.restoration import Restoration

soundfile = pytest.importorskip("soundfile")

RATE, LENGTH = 8000, 32
INPAINTING = Restoration({"box": CentreBox(0.5)})


def numbers(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def choose(channels: int = 1, task: Task = INPAINTING) -> None:
        torch.manual_seed(0)
        shape = (channels, LENGTH)
        pair = Pair(UNet(4, shape, 4, 2, 8), parts.LinearRefiner(shape, 6), Pixels(), task).eval()
        trained = Trained(None, pair, 0, Audio(RATE))  # type: ignore[arg-type]
        monkeypatch.setattr(restore, "load", lambda run, device: trained)

    choose()
    return choose


def run(source: Path, *words: str) -> int:
    return main(["restore", "run=x", f"input={source}", f"out={source.parent / 'out'}", "device=cpu", *words])


def wave(length: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, (length, channels))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [20, 32, 1001])
@pytest.mark.parametrize(
    ("ending", "subtype", "number"),
    [
        ("wav", "PCM_16", "int16"),
        ("wav", "PCM_24", "int32"),
        ("wav", "PCM_U8", "int16"),
        ("wav", "FLOAT", "float32"),
        ("flac", "PCM_16", "int16"),
        ("flac", "PCM_24", "int32"),
    ],
)
def test_what_is_known_stays_bit_for_bit(
    ending: str, subtype: str, number: str, length: int, channels: int, use: Any, tmp_path: Path
) -> None:
    use(channels)
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, wave(length, channels), RATE, subtype=subtype)
    assert run(path, f"mask=[{5 / RATE},{9 / RATE}]", "n=2") == 0
    assert {it.name for it in (tmp_path / "out").iterdir()} == {
        f"x-1.{ending}",
        f"x-2.{ending}",
        "x-sheet.png",
    }
    before, _ = soundfile.read(path, dtype=number, always_2d=True)
    after, rate = soundfile.read(tmp_path / "out" / f"x-1.{ending}", dtype=number, always_2d=True)
    info = soundfile.info(tmp_path / "out" / f"x-1.{ending}")
    assert rate == RATE and after.shape == before.shape and info.subtype == subtype
    lost = np.zeros(length, dtype=bool)
    lost[5:14] = True
    assert (after[~lost] == before[~lost]).all()
    assert (after[lost] != before[lost]).any(axis=1).all()


def test_a_mask_is_what_sounds_in_another_recording_and_notes_stay(use: Any, tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "x.wav", "w", RATE, 1, "PCM_16") as file:
        file.title, file.artist = "a song", "a singer"
        file.write(wave(100))
    drawn = np.zeros(100)
    drawn[40:60] = 0.5
    soundfile.write(tmp_path / "mask.wav", drawn, RATE)
    assert run(tmp_path / "x.wav", f"mask={tmp_path}/mask.wav", "n=1") == 0
    before, after = numbers(tmp_path / "x.wav"), numbers(tmp_path / "out" / "x-1.wav")
    assert ((before != after) <= (drawn > 0)).all() and (before != after).sum() > 15
    with soundfile.SoundFile(tmp_path / "out" / "x-1.wav") as file:
        assert (file.title, file.artist) == ("a song", "a singer")


@pytest.mark.parametrize("mask", [[], ["mask=auto"], ["mask=null"], [f"mask=[{5 / RATE},{9 / RATE}]"]])
def test_noise_is_taken_off_everywhere(mask: list[str], use: Any, tmp_path: Path) -> None:
    use(1, Restoration({"noise": GaussianNoise(0.3, 0.3)}))
    soundfile.write(tmp_path / "x.wav", wave(500), RATE)
    assert run(tmp_path / "x.wav", "n=1", *mask) == 0
    before, after = numbers(tmp_path / "x.wav"), numbers(tmp_path / "out" / "x-1.wav")
    assert (before != after).mean() > 0.95


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_not_clipped_stays_bit_for_bit(
    channels: int, subtype: str, use: Any, tmp_path: Path
) -> None:
    use(channels, Restoration({"clipping": Clipping(0.1, 0.5)}))
    sound = (1.5 * wave(500, channels)).clip(-1, 1)  # as an overdriven converter does: full scale
    soundfile.write(tmp_path / "x.wav", sound, RATE, subtype=subtype)
    assert run(tmp_path / "x.wav", "n=1") == 0
    before, after = (
        soundfile.read(tmp_path / name, dtype="int32" if subtype != "FLOAT" else "float32", always_2d=True)[0]
        for name in ("x.wav", "out/x-1.wav")
    )
    whole = (np.abs(sound) < 1).all(axis=1)
    assert 0.3 < whole.mean() < 0.8
    assert (after[whole] == before[whole]).all()
    assert (after[~whole] != before[~whole]).any(axis=1).all()


@pytest.mark.parametrize(
    ("name", "word", "code", "says"),
    [
        ("rate", "mask=[0.001,0.001]", 3, "1 channels at 16000 Hz, the run wants 1 at 8000 Hz"),
        ("stereo", "mask=[0.001,0.001]", 3, "2 channels"),
        ("text", "mask=[0.001,0.001]", 3, "x.wav: "),
        ("empty", "mask=[0.001,0.001]", 3, "empty file"),
        ("silent", "mask=[0.001,0.001]", 3, "holds no sound"),
        ("law", "mask=[0.001,0.001]", 3, "ULAW"),
        ("cut", "mask=[0.001,0.001]", 3, "the header promises 100 frames, there are 50"),
        ("a byte short", "mask=[0.001,0.001]", 3, "the header promises 100 frames, there are 99"),
        ("endless", "mask=[0.001,0.001]", 3, "the header promises 2147483648 frames, there are 100"),
        ("understated", "mask=[0.001,0.001]", 3, "bytes that the header does not tell of"),
        ("fine", "mask=[0.1,0.1]", 3, "reaches beyond its 0.0125 seconds"),
        ("fine", "mask={folder}/nowhere.wav", 3, "error[DATA-SOUND]: mask: "),
        ("fine", "mask=auto", 3, "nothing is lost"),
        ("fine", "mask=[0,0.0125]", 3, "everything is lost"),
        ("fine", "mask={folder}/short.wav", 3, "has 5 samples at 8000 Hz, the recording 100 samples"),
        (
            "fine",
            "mask={folder}/fast.wav",
            3,
            "at 16000 Hz, the recording 100 samples at 8000 Hz",
        ),
        ("fine", "mask={folder}/silence.wav", 3, "nothing is lost"),
        ("fine", "mask={folder}/noise.wav", 3, "everything is lost"),
        ("fine", "mask=[1,2,3]", 2, "start,length"),
    ],
)
def test_mistakes_are_one_line_with_their_own_code(
    name: str, word: str, code: int, says: str, use: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(tmp_path / "short.wav", wave(5), RATE)
    soundfile.write(tmp_path / "fast.wav", wave(100), 2 * RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(100), RATE)
    soundfile.write(tmp_path / "noise.wav", np.ones(100) / 2, RATE)
    rate, channels = 2 * RATE if name == "rate" else RATE, 2 if name == "stereo" else 1
    subtype = "ULAW" if name == "law" else "PCM_16"
    soundfile.write(path, wave(0 if name == "silent" else 100, channels), rate, subtype=subtype)
    if name in ("text", "empty"):
        path.write_bytes(b"<html>" if name == "text" else b"")
    before = path.read_bytes()
    lies = {"endless": 2**32 - 1, "understated": 60}
    if name in lies:
        path.write_bytes(before[:40] + struct.pack("<I", lies[name]) + before[44:])
    path.write_bytes(
        before[:144] if name == "cut" else before[:-1] if name == "a byte short" else path.read_bytes()
    )
    assert run(path, word.format(folder=tmp_path)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line and line.count(str(path)) <= 1


def test_a_bad_recording_does_not_stop_the_others(
    use: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, rate, channels in (("a", RATE, 1), ("b", 2 * RATE, 1), ("c", RATE, 2), ("z", RATE, 1)):
        soundfile.write(source / f"{name}.wav", wave(100, channels), rate)
    (source / "d.flac").write_text("no sound")
    (source / "e.wav").write_bytes((source / "a.wav").read_bytes()[:144])
    assert run(source, "mask=[0.001,0.001]", "n=1", f"out={tmp_path}/out") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "4 of 6 files" in line and all(
        f"{name}: " in line for name in ("b.wav", "c.wav", "d.flac", "e.wav")
    )
    assert {path.name for path in (tmp_path / "out").glob("*.wav")} == {"a-1.wav", "z-1.wav"}
