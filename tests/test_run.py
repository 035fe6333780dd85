"""From the command line to samples: train, evaluate, sample, each as a user would."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from PIL import Image

from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.load import load, pick
from stable_diffusion_lab.command.sample import draw
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality import image
from stable_diffusion_lab.modality.base import CAPTION
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training import run_folder
from stable_diffusion_lab.training.evaluator import Evaluator

SMALL = [
    "trainer.max_steps=20",
    "trainer.log_every_n_steps=5",
    "save_every=10",
    "sample_every=10",
    "evaluate_every=10",
    "metric=[frechet,precision_recall]",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of one run with the default logger, and what the program printed."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "stable_diffusion_lab", "train", *SMALL, f"runs={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in folder.iterdir()} == {next(folder.glob("*/*")).parent.name}
    (run,) = folder.glob("*/*")
    return run, done.stdout


def test_run_folder_is_complete(trained: tuple[Path, str]) -> None:
    run, _ = trained
    names = {str(path.relative_to(run)) for path in run.rglob("*") if "wandb" not in path.parts}
    assert names == {
        "checkpoints",
        "checkpoints/step-00000010.ckpt",
        "checkpoints/step-00000020.ckpt",
        "command.txt",
        ".lock",
        "config.yaml",
        "metrics.jsonl",
        "modality.json",
        "samples",
        "samples/step-00000010.png",
        "samples/step-00000020.png",
        "test.json",
        "versions.json",
    }
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


def test_log_has_terms_and_scores(trained: tuple[Path, str]) -> None:
    records = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    names = {name for record in records for name in record}
    assert {"train/evidence/refiner/distortion", "train/evidence/refiner/rate"} <= names
    assert {"validation/draft/fd", "validation/refined/fd"} <= names
    assert [record["step"] for record in records if "validation/draft/fd" in record] == [10, 20]


def test_results_have_their_floor_and_their_counts(trained: tuple[Path, str]) -> None:
    run, output = trained
    found = json.loads((run / "test.json").read_text())
    assert list(found["scores"]) == ["draft", "refined", "reconstruction", "floor"]
    assert found["scores"]["floor"]["fd"] < found["scores"]["draft"]["fd"]
    assert found["log_likelihood"].keys() == {"elbo", "iwae", "draft/elbo", "refined/elbo"}
    assert "bounds on log p(x) in nats per value: elbo" in output
    assert f"{found['generated']} generated, {found['real']} real" in " ".join(output.split())
    assert f"sdlab sample run={run}" in output and f"sdlab train resume={run}" in output


def test_evaluate_repeats_the_result_of_training(
    trained: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = trained
    assert main(["evaluate", f"run={run}", "split=test", "device=cpu"]) == 0
    again = json.loads((run / "evaluation-test.json").read_text())
    assert again == json.loads((run / "test.json").read_text())
    assert "evaluation-test.json" in capsys.readouterr().out


def test_evaluations_with_other_seeds_and_numbers_lie_side_by_side(trained: tuple[Path, str]) -> None:
    run, _ = trained
    for words in (["seed=0"], ["seed=1"], ["seed=1", "n=300"]):
        assert main(["evaluate", f"run={run}", "device=cpu", *words]) == 0
    names = ("evaluation-test", "evaluation-test-seed1", "evaluation-test-n300-seed1")
    found = [json.loads((run / f"{name}.json").read_text()) for name in names]
    assert [(it["seed"], it["generated"]) for it in found] == [(0, 360), (1, 360), (1, 300)]
    assert found[0]["scores"]["draft"] != found[1]["scores"]["draft"]


def sample(run: Path, out: Path, *words: str) -> int:
    return main(["sample", f"run={run}", f"out={out}", "device=cpu", *words])


def test_samples_do_not_depend_on_the_batch_size(trained: tuple[Path, str], tmp_path: Path) -> None:
    arrays = []
    for size in (7, 100):
        (tmp_path / "a.npz").unlink(missing_ok=True)
        assert sample(trained[0], tmp_path / "a.npz", "n=20", f"batch_size={size}", "seed=3") == 0
        arrays.append(dict(numpy.load(tmp_path / "a.npz")))
    assert {name: (a.shape, a.dtype.name) for name, a in arrays[0].items()} == {
        "samples": ((20, 8, 8), "uint8"),
        "drafts": ((20, 8, 8), "uint8"),
    }
    for name in ("samples", "drafts"):
        difference = arrays[0][name].astype(int) - arrays[1][name].astype(int)
        assert abs(difference).max() <= 1, "one grey level: sums are rounded differently in other batches"
    model = load(trained[0]).model
    expected = image.Image().to_stored(model.generate(20, seed=3).refined)
    assert torch.equal(draw(model, image.Image(), 20, 3, batch_size=20).refined, expected)


def test_samples_as_a_grid_and_as_a_folder(trained: tuple[Path, str], tmp_path: Path) -> None:
    assert sample(trained[0], tmp_path / "grid.png", "n=9") == 0
    assert Image.open(tmp_path / "grid.png").size == (2 * (3 * 58 + 2) + 8, 3 * 58 + 2 + CAPTION)
    assert sample(trained[0], tmp_path / "a.npz", "n=9") == 0
    assert sample(trained[0], tmp_path / "folder", "n=9") == 0
    names = sorted(path.name for path in (tmp_path / "folder" / "samples").iterdir())
    assert names == [f"{index:05d}.png" for index in range(9)]
    arrays = numpy.load(tmp_path / "a.npz")
    for part in ("samples", "drafts"):
        picture = numpy.asarray(Image.open(tmp_path / "folder" / part / "00004.png"))
        assert (picture == arrays[part][4]).all()
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "a.npz", "folder"}


VECTORS = '{"_target_": "stable_diffusion_lab.modality.vector.Vector"}'


@pytest.mark.parametrize(
    ("out", "modality", "says"),
    [
        ("run", None, "is not empty"),
        ("taken.npz", None, "is there already"),
        ("a.txt", None, "images are no text"),
        ("a", VECTORS, "a vector is no picture"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_loaded_or_drawn(
    out: str,
    modality: str | None,
    says: str,
    trained: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("work was done in vain")

    run = shutil.copytree(trained[0], tmp_path / "run")
    if modality is not None:
        (run / "modality.json").write_text(modality)
    for step in ("load", "draw"):
        monkeypatch.setattr(f"stable_diffusion_lab.command.sample.{step}", work)
    (tmp_path / "taken.npz").touch()
    before = sorted(tmp_path.rglob("*"))
    assert sample(run, tmp_path / out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert sorted(tmp_path.rglob("*")) == before


def test_any_run_restores_a_file(trained: tuple[Path, str], tmp_path: Path) -> None:
    pixels = numpy.random.default_rng(0).integers(0, 256, (11, 9), dtype=numpy.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    words = [f"input={tmp_path / 'x.png'}", f"out={tmp_path / 'out'}", "mask=[2,2,4,5]", "n=2", "device=cpu"]
    assert main(["restore", f"run={trained[0]}", *words]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"x-1.png", "x-2.png", "x-sheet.png"}
    known = numpy.ones_like(pixels, dtype=bool)
    known[2:7, 2:6] = False
    assert (numpy.asarray(Image.open(tmp_path / "out" / "x-1.png")) == pixels)[known].all()


def test_mistakes_are_one_line_with_their_own_code(
    trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")

    def fails(*words: str) -> tuple[int, str]:
        code = main(list(words))
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and "Traceback" not in line
        return code, line

    assert fails("sample", f"run={tmp_path}/none")[0] == 2
    assert fails("sample", f"run={run}", "out=a.gif")[0] == 2
    assert fails("sample", f"run={run}", f"out={run}")[0] == 2
    assert fails("sample", f"run={run}", "device=cuda:9")[0] == 2
    code, line = fails("sample", f"run={run}", "temperature=0.7")
    assert code == 2 and "refiner of the run (MLP) has none" in line
    assert fails("sample", f"run={run}", "temperature=0")[0] == 2
    assert fails("restore", f"run={tmp_path}/none", "input=x.png")[0] == 2
    assert fails("restore", f"run={run}", "input=x.png")[0] == 3
    with run_folder.locked(run):
        code, line = fails("train", f"resume={run}")
    assert code == 2 and "RUN-LOCKED" in line
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("latent_dim: 16", "latent_dim: 15"))
    code, line = fails("sample", f"run={run}")
    assert code == 4 and "CKPT-FIT" in line
    (run / "config.yaml").write_text(config.replace("name: digits", "name: ${oc.env:HOME}"))
    assert fails("sample", f"run={run}")[0] == 9
    (run / "config.yaml").write_text("a: [")
    code, line = fails("sample", f"run={run}")
    assert code == 2 and "config.yaml: not a configuration" in line
    (run / "config.yaml").write_text(config)
    for path in run.glob("checkpoints/*"):
        path.write_bytes(b"<html>")
    assert main(["sample", f"run={run}"]) == 4
    assert "CKPT-NONE" in capsys.readouterr().err


def test_numbers_that_explode_end_the_run_with_code_seven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["logger=none", f"runs={tmp_path}", "optimizer.refiner=1e30", "schedule.warmup=0"]
    assert main(["train", *SMALL, *words]) == 7
    line = capsys.readouterr().err.splitlines()[-1]
    assert "NONFINITE" in line and "evidence/refiner" in line
    assert not list(tmp_path.rglob("*.ckpt"))


def test_secrets_reach_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", *SMALL, f"runs={tmp_path}", f"+logger.settings.api_key=CANARY{'a' * 34}"]
    monkeypatch.setattr(sys, "argv", ["sdlab", *words])
    assert main(words) == 0
    (run,) = tmp_path.glob("*/*")
    assert main(["train", f"resume={run}", "trainer.max_steps=30", words[-1]]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"CANARY" in path.read_bytes()] == []
    assert (run / "config.yaml").read_text().count("***") == 1
    assert "api_key=***" in (run / "command.txt").read_text()
    assert any(b"latent_dim" in path.read_bytes() for path in run.glob("wandb/*/*.wandb"))


def test_data_that_cannot_be_read_leave_no_run_folder(tmp_path: Path) -> None:
    words = ["data=image_folder", f"data.path={tmp_path}/nowhere", "data.size=8", f"runs={tmp_path}/runs"]
    assert main(["train", *words, "logger=none"]) == 3
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trainer.accelerator=abacus"], "trainer: "),
        (["trainer.precision=16-mixed", "trainer.gradient_clip_val=1.0"], "trainer.precision: 16-mixed"),
        (["+trainer.gradient_clip_algorithm=value"], "trainer.gradient_clip_algorithm: "),
    ],
)
def test_a_trainer_that_cannot_be_had_is_refused(
    words: list[str], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words, f"runs={tmp_path}", "logger=none"]) == 2
    assert f"error[CFG-TRAINER]: {line}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("logger", "file"), [("csv", "csv/metrics.csv"), ("tensorboard", "tensorboard/events.*")]
)
def test_other_dashboards_write_into_the_run_folder(logger: str, file: str, tmp_path: Path) -> None:
    words = [*SMALL, "trainer.max_steps=5", f"logger={logger}", f"runs={tmp_path}"]
    assert main(["train", *words]) == 0
    (run,) = tmp_path.glob("*/*")
    assert next(run.glob(file)).stat().st_size > 0
    assert (run / "metrics.jsonl").stat().st_size > 0


def test_the_test_split_is_scored_where_the_pair_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, scored = torch.device("meta"), []
    teardown = SingleDeviceStrategy.teardown

    def leave(strategy: SingleDeviceStrategy) -> None:
        teardown(strategy)
        strategy._root_device = elsewhere  # as if it had been trained there

    def scores(evaluator: Evaluator, model: Pair, split: str, step: int) -> dict[str, Any]:
        scored.append((model.device, split))
        return {}

    monkeypatch.setattr(SingleDeviceStrategy, "teardown", leave)
    monkeypatch.setattr("stable_diffusion_lab.command.train.scores", scores)
    monkeypatch.setattr("stable_diffusion_lab.command.train.publish", lambda *_: None)
    words = [*SMALL, "trainer.max_steps=2", "trainer.accelerator=cpu", "logger=none", f"runs={tmp_path}"]
    assert main(["train", *words]) == 0
    assert scored == [(elsewhere, "test")]


def test_a_device_without_float64_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    apple = torch.device("mps")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: apple)
    assert pick("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="no float64"):
        pick("mps")
