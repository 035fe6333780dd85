"""A run that was cut and resumed ends exactly where the uninterrupted one does: tolerance 0."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.resume import resumed
from stable_diffusion_lab.command.train import train
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.training import json_lines
from stable_diffusion_lab.training.checkpoint import latest
from stable_diffusion_lab.training.checkpoint_file import read
from stable_diffusion_lab.training.system import System

STEPS = 24  # the refiner learns in the first half, the generator in the second; 11 batches are an epoch
SMALL = [
    f"trainer.max_steps={STEPS}",
    "batch_size=100",
    "refiner.hidden_dim=32",
    "save_every=5",
    "trainer.log_every_n_steps=1",
    "logger=none",
    "metric=frechet",
]
VARIANTS = {
    "flow": ["objective=sinkhorn"],
    "adversarial": ["generator=dcgan", "objective=relativistic", "trainer.gradient_clip_val=1"],
    "sum": ["objective=[drift,reverse_kl]", "schedule=together"],
    "accumulate": ["trainer.accumulate_grad_batches=3"],
}


def launch(folder: Path, words: list[str], after: Callable[[System], None] = lambda system: None) -> int:
    """``sdlab train`` in a copy of this process; ``after`` is called at the end of each batch."""
    end = System.on_train_batch_end

    def traced(system: System, outputs: Any, batch: Any, batch_idx: int) -> None:
        end(system, outputs, batch, batch_idx)
        with (folder / "trace").open("a") as file:
            file.write(f"{system.batches_seen} {batch.clean.double().sum().item()}\n")
        after(system)

    def action() -> None:
        System.on_train_batch_end = traced  # type: ignore[method-assign]
        train(compose("train", [*SMALL, f"runs={folder}/runs", *words]))

    return tiny.forked(action)


def the_run(folder: Path) -> Path:
    (run,) = folder.glob("runs/*/*")
    return run


def kill_at(step: int) -> Callable[[System], None]:
    def after(system: System) -> None:
        if system.batches_seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return after


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two nested states differ, at tolerance 0."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return [it for key in keys for it in differences(a.get(key), b.get(key), f"{path}/{key}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [it for i in range(len(a)) for it in differences(a[i], b[i], f"{path}/{i}")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        return [] if same else [path]
    return [] if a == b else [path]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """Words of a variant, and the folder of its uninterrupted run."""
    folder = tmp_path_factory.mktemp(request.param)
    assert launch(folder, VARIANTS[request.param]) == 0
    return VARIANTS[request.param], folder


def test_killed_and_resumed_is_bit_identical(variant: tuple[list[str], Path], tmp_path: Path) -> None:
    words, reference = variant
    # Before the generator starts; as it starts, which is in another epoch; in the last batch.
    for cut in (8, 13, 24):
        resume = [f"resume={the_run(tmp_path)}"] if cut != 8 else []
        assert launch(tmp_path, [*words, *resume], kill_at(cut)) == -signal.SIGKILL
    assert launch(tmp_path, [*words, f"resume={the_run(tmp_path)}"]) == 0

    whole, resumed = read(latest(the_run(reference))), read(latest(the_run(tmp_path)))
    assert whole["batches_seen"] == resumed["batches_seen"] == STEPS
    assert differences(whole, resumed) == []

    once = (reference / "trace").read_text().splitlines()
    seen = (tmp_path / "trace").read_text().splitlines()
    assert len(once) == STEPS
    assert dict.fromkeys(sorted(seen)) == dict.fromkeys(sorted(once)), "a batch differs from the first time"

    logs = [json_lines.read(the_run(folder) / "metrics.jsonl") for folder in (reference, tmp_path)]
    assert differences(*[[{**line, "time": 0} for line in log] for log in logs]) == []


def test_a_finished_run_can_be_prolonged(tmp_path: Path) -> None:
    long, short = tmp_path / "long", tmp_path / "short"
    long.mkdir()
    short.mkdir()
    assert launch(long, ["trainer.max_steps=30", f"schedule.steps={STEPS}"]) == 0
    assert launch(short, []) == 0
    assert launch(short, [f"resume={the_run(short)}", "trainer.max_steps=30"]) == 0
    states = [read(latest(the_run(folder))) for folder in (long, short)]
    assert [state["batches_seen"] for state in states] == [30, 30]
    assert differences(*states) == []


def test_a_damaged_newest_checkpoint_costs_only_its_batches(tmp_path: Path, capfd: Any) -> None:
    assert launch(tmp_path, []) == 0
    newest = latest(the_run(tmp_path))
    good = read(newest)
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert launch(tmp_path, [f"resume={the_run(tmp_path)}"]) == 0
    assert "CKPT-TRUNCATED" in capfd.readouterr().err
    assert differences(read(newest), good) == []


def test_other_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    assert launch(tmp_path, ["trainer.max_steps=2", "batch_size=50"]) == 0
    run = the_run(tmp_path)

    def refused(word: str) -> str:
        words = [f"resume={run}", word]
        with pytest.raises(ConfigError) as caught:
            train(compose("train", words))
        assert (caught.value.tag, caught.value.exit_code) == ("CFG-RESUME", 2)
        return str(caught.value)

    assert "batch_size: the run has 50, the command line 64" in refused("batch_size=64")
    assert "optimizer.generator: the run has 0.001," in refused("optimizer.generator=0.05")
    assert "latents.Latents, the command line stable_diffusion_lab.draft.pixels" in refused("generator=dcgan")
    assert "only become longer" in refused("trainer.max_steps=1")
    # What is written counts, default or not.
    assert "batch_size: the run has 50, the command line 128" in refused("batch_size=128")
    assert "refiner.hidden_dim: the run has 32, the command line 256" in refused("refiner=mlp")
    assert "refiner.hidden_dim: the run has 32, the command line nothing" in refused("~refiner.hidden_dim")


def test_what_a_resumed_run_may_change_can_go_back_to_the_default() -> None:
    stored = compose("train", ["trainer.devices=2", "logger=none", "trainer.max_steps=9"])
    words = ["trainer.devices=1", "logger=wandb_offline", "trainer.max_steps=3000"]
    found = resumed(compose("train", words), stored, words)
    assert (found.trainer.devices, found.trainer.max_steps) == (1, 3000)
    assert found.logger == compose("train").logger
    assert resumed(compose("train"), stored).trainer.devices == 2


def test_resume_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    assert launch(tmp_path, [], kill_at(2)) == -signal.SIGKILL
    assert launch(tmp_path, [f"resume={the_run(tmp_path)}"]) == 1
    assert not list(tmp_path.rglob("*.ckpt"))
