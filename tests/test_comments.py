"""What README, and comments of damages and fidelities, say to type is understood."""

import re
import shlex
from pathlib import Path

import numpy as np
import parts
import pytest
import torch
from PIL import Image

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.check import check
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import rehearse
from stable_diffusion_lab.fidelity import lpips

OPTIONS = [(group, name) for group in ("damage", "fidelity") for name in parts.members(group)]
NEEDS = {"stoi": "pystoi", "pesq": "pesq"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files lie that comments speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDLAB_DATA", str(tmp_path))
    return tmp_path


def photographs(folder: Path) -> None:
    folder.mkdir()
    for index in range(20):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def recordings(folder: Path, names: list[str]) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs the extra: audio")
    folder.mkdir()
    for index, name in enumerate(names):
        wave = np.random.default_rng(index).normal(size=6000) * 0.1
        soundfile.write(folder / name, wave, 8000, subtype="PCM_16")


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_the_line_in_a_comment_passes_the_rehearsal(group: str, name: str, place: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="needs an extra: audio, pesq")
    words = parts.command(group, name)
    if "data.path=photos" in words:
        photographs(place / "photos")
    if "experiment=restore_spoken_digits" in words:
        recordings(place / "fsdd", [f"{digit}_a_{take}.wav" for digit in (0, 1) for take in (0, 5, 10)])
        recordings(place / "noises", ["fan.wav"])
    if "fidelity=lpips" in words:
        torch.save(lpips.alexnet().state_dict(), place / "alexnet.pt")
    config = compose("train", words)
    check("train", config)
    assert name == "none" or name in config[group]
    data = build(config.data)
    rehearse(config, data, {}, None)
    for node in config.fidelity.values():
        build(node).try_out(data.modality.to_sample(data.test.samples[:1]))


@pytest.mark.parametrize("path", sorted(parts.CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_line_is_wider_than_those_of_the_source(path: Path) -> None:
    assert not [line for line in path.read_text().splitlines() if len(line) > 110]


README = (parts.CONF.parent / "README.md").read_text()
LINES = re.findall(r"^sdlab .*", README, re.M)


@pytest.mark.parametrize("line", LINES)
def test_the_lines_of_the_readme_are_understood(line: str) -> None:
    _, verb, *words = shlex.split(line, comments=True)
    words = [word for word in words if word not in ("-m", "seed=0,1,2")]
    check(verb, compose(verb, words))
