"""Two processes learn as one: plain DDP on the CPU, every objective, one run folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import parts
import pytest

from stable_diffusion_lab.training import run_folder
from stable_diffusion_lab.training.checkpoint import latest
from stable_diffusion_lab.training.checkpoint_file import read

SMALL = [
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=5",
    "batch_size=50",
    "logger=none",
    "metric=frechet",
]

OBJECTIVES = [name for name in parts.objectives() if name != "none"]
RESTING = "task=inpainting schedule=head_start"  # without drafts half of the refiner has no term
CASES = [f"objective={name}" for name in OBJECTIVES] + ["generator=mixture", RESTING]


def sdlab(*words: str) -> list[str]:
    return [sys.executable, "-m", "stable_diffusion_lab", "train", *SMALL, *words]


def run_sdlab(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(sdlab(*words), capture_output=True, text=True, timeout=300)


def the_run(folder: Path) -> Path:
    (run,) = folder.glob("*/*")
    return run


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the two ranks found out about each case; started once, because starting takes longest."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(Path(__file__).with_name("two_ranks.py")), str(folder), *CASES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (folder / "verdicts").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("case", CASES)
def test_ranks_hold_equal_weights_and_the_generator_learns(verdicts: dict[str, str], case: str) -> None:
    assert verdicts[case] == "drift [], moved True"


def test_two_devices_make_one_run_folder_and_one_device_goes_on(tmp_path: Path) -> None:
    words = [f"runs={tmp_path}", "trainer.max_steps=10", "save_every=5"]
    done = run_sdlab(*words, "trainer.devices=2")
    assert done.returncode == 0, done.stderr[-3000:]
    run = the_run(tmp_path)
    assert read(latest(run))["global_batch"] == 100
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if not any(key.startswith("health/") for key in line)]
    assert steps == [5, 10, 10], "each value is logged once, not once by each rank"
    assert done.stdout.count("sdlab sample") == 1
    with run_folder.locked(run):
        pass

    before = (run / "config.yaml").read_bytes()
    done = run_sdlab(f"resume={run}", "trainer.devices=3")
    assert done.returncode == 2 and "batches of 100 samples, which 3 devices cannot share" in done.stderr
    assert (run / "config.yaml").read_bytes() == before

    words = [f"resume={run}", "trainer.devices=1", "trainer.max_steps=15", "batch_size=50"]
    done = run_sdlab(*words)
    assert done.returncode == 0, done.stderr[-3000:]
    state = read(latest(run))
    assert (state["batches_seen"], state["global_batch"]) == (15, 100)


def test_a_signal_to_one_rank_stops_both(tmp_path: Path) -> None:
    words = [f"runs={tmp_path}", "trainer.max_steps=100000", "trainer.devices=2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(sdlab(*words), text=True, **pipes) as run:
        log = wait_for_log(tmp_path, run)
        (child,) = children(run.pid)
        os.kill(child, signal.SIGTERM)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 143, errors[-3000:]
    stopped = re.search(r"stopped by SIGTERM at batch (\d+), saved", errors)
    assert stopped and read(latest(log.parent))["batches_seen"] == int(stopped[1])
    assert ends(child)
    with run_folder.locked(log.parent):
        pass


def wait_for_log(folder: Path, run: "subprocess.Popen[str]") -> Path:
    """The run's log, as soon as there is one: training has begun."""
    for _ in range(600):
        if logs := list(folder.glob("*/*/metrics.jsonl")):
            return logs[0]
        try:
            run.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(run.stderr.read()[-3000:] if run.stderr else "")


def ends(pid: int) -> bool:
    """Whether a process that is not ours ends within 30 seconds."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(300):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
