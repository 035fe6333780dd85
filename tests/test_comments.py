"""What README and comments of the configuration say to type is understood."""

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


def typed(path: Path) -> list[str]:
    """Command lines in the comments of a YAML: behind three blanks, or after ``sdlab``, without a remark."""
    lines = re.findall(r"^#.*?(?:   |# (?=sdlab ))((?:sdlab )?[\w@.]+[ =].*)$", path.read_text(), re.M)
    return [re.sub(r" \(.*\)$", "", line).replace("<run>", "runs/digits") for line in lines if "=" in line]


def understood(line: str) -> None:
    """Composed and checked; nothing is built."""
    words = shlex.split(line, comments=True)
    _, verb, *words = words if words[0] == "sdlab" else ["sdlab", "train", *words]
    words = [word for word in words if word != "-m" and not re.match(r"seed=\d,", word)]
    check(verb, compose(verb, words))


@pytest.mark.parametrize("line", re.findall(r"^sdlab .*", README, re.M))
def test_the_lines_of_the_readme_are_understood(line: str) -> None:
    understood(line)


# A third of a second for each line: the commands, and groups whose lines name parts of others.
SPOKEN = [".", "distance", "draft", "experiment", "objective", "refinement", "regularizer", "task"]
COMMENTS = [
    line for group in SPOKEN for path in sorted((parts.CONF / group).glob("*.yaml")) for line in typed(path)
]


@pytest.mark.parametrize("line", COMMENTS, ids=COMMENTS)
def test_the_lines_in_comments_are_understood(line: str) -> None:
    understood(line)


@pytest.mark.parametrize("path", ["draft/pixels", "objective/energy_score", "objective/reconstruction"])
def test_parts_are_named_with_what_they_need(path: str) -> None:
    (line,) = typed(parts.CONF / f"{path}.yaml")
    config = compose("train", shlex.split(line))
    rehearse(config, build(config.data), {}, None)
