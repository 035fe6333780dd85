"""The wheel is complete: it works in an empty folder, far from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPOSE = """
import stable_diffusion_lab
from stable_diffusion_lab.command.check import check
from stable_diffusion_lab.command.compose import compose
config = compose("train", ["generator=dcgan"])
check("train", config)
print(stable_diffusion_lab.__file__, config.generator._target_)
"""


def python(*words: str, at: Path, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, *words], cwd=at, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    python(*command, at=out, path=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    python(
        "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel), at=target, path=target
    )
    return target


def test_the_wheel_holds_every_config_and_every_module(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"stable_diffusion_lab/{it.relative_to(ROOT)}" for it in (ROOT / "conf").rglob("*.yaml")}
    modules = {str(it.relative_to(ROOT)) for it in (ROOT / "stable_diffusion_lab").rglob("*.py")}
    assert configs | modules <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert not any(name.startswith(("tests/", "conf/")) for name in held)


@pytest.mark.parametrize("source", ["installed", "checkout"])
def test_help_and_configuration_work_from_an_empty_folder(
    source: str, installed: Path, tmp_path: Path
) -> None:
    path = installed if source == "installed" else ROOT
    shown = python("-m", "stable_diffusion_lab", "train", "--help", at=tmp_path, path=path)
    assert "*latent" in shown
    file, target = python("-c", COMPOSE, at=tmp_path, path=path).split()
    assert Path(file).is_relative_to(path)
    assert target == "stable_diffusion_lab.generator.dcgan.DCGAN"
    assert not list(tmp_path.iterdir())


def test_the_wheel_brings_the_program(installed: Path) -> None:
    assert (installed / "bin" / "sdlab").is_file()
