"""One run, one folder: unique, locked, complete, and without secrets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stable_diffusion_lab.error import ConfigError, DiskError, DistributedError
from stable_diffusion_lab.training import run_folder
from stable_diffusion_lab.training.json_lines import JsonLines, read


def test_two_runs_in_the_same_second_get_two_folders(tmp_path: Path) -> None:
    folders = {run_folder.create(tmp_path, "digits") for _ in range(5)}
    assert len(folders) == 5
    assert {path.parent.parent for path in folders} == {tmp_path}


def test_a_name_cannot_leave_the_runs_folder(tmp_path: Path) -> None:
    path = run_folder.create(tmp_path / "runs", "../../x y")
    assert path.resolve().is_relative_to((tmp_path / "runs").resolve())
    assert path.name.endswith("-x-y")


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(DiskError, match="set runs=") as caught:
        run_folder.create(tmp_path / "runs", "digits")
    assert caught.value.exit_code == 5


def test_second_training_in_a_folder_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from stable_diffusion_lab.training.run_folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(ConfigError, match="in use by another training") as caught:
            run_folder.locked(tmp_path).__enter__()
        assert (caught.value.tag, caught.value.exit_code) == ("RUN-LOCKED", 2)
        other.kill()
    for _ in range(2):
        with run_folder.locked(tmp_path):
            pass


def test_ranks_find_the_folder_of_rank_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDLAB_RUN", raising=False)
    assert (run_folder.given(), run_folder.rank()) == (None, 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with run_folder.environment(SDLAB_RUN=str(tmp_path)):
        assert (run_folder.given(), run_folder.rank()) == (tmp_path, 1)
    with pytest.raises(DistributedError, match="SDLAB_RUN"):
        run_folder.given()


@pytest.mark.parametrize("node", [0, 1])
def test_a_further_node_is_not_the_first_process(node: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's own launcher tells a process of another node no more than the number of that node."""
    monkeypatch.setenv("NODE_RANK", str(node))
    assert (run_folder.rank() == 0) == (node == 0)


def test_a_run_leaves_no_variables_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    before = dict(os.environ)
    with run_folder.environment(SDLAB_RUN="x", KEPT="2"):
        os.environ["WORLD_SIZE"] = "2"
    assert dict(os.environ) == before


SECRETS = {
    "logger": {"api_key": "CANARY", "settings": [{"HF_TOKEN": "CANARY"}]},
    "password": "CANARY",
    "client-secret": "CANARY",
}
HARMLESS = {"monkey": 1, "key_value_dim": 2, "tokens": 3, "token": None, "seed": 0}


def test_secrets_are_hidden_and_nothing_else_is() -> None:
    hidden = run_folder.redact({**SECRETS, **HARMLESS})
    assert "CANARY" not in json.dumps(hidden)
    assert {key: hidden[key] for key in HARMLESS} == HARMLESS
    assert SECRETS["password"] == "CANARY", "the original is untouched"


def test_folder_describes_the_run_without_secrets(tmp_path: Path) -> None:
    command = ["sdlab", "train", "logger.api_key=CANARY", "data.url=https://me:CANARY@host/x", "seed=1"]
    run_folder.describe(tmp_path, "seed: 1\n", command)
    text = (tmp_path / "command.txt").read_text()
    assert text == "sdlab train logger.api_key=*** data.url=https://***@host/x seed=1\n"
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\n"
    versions = json.loads((tmp_path / "versions.json").read_text())
    assert {"python", "torch", "lightning", "hydra-core", "git", "platform"} <= set(versions)


def test_log_reads_as_if_the_run_had_never_been_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = JsonLines(path)
    for step in (5, 15, 20, 30):
        first.log_metrics({"loss": float(step)}, step)
    with path.open("a") as file:
        file.write('{"time": 1, "st')
    second = JsonLines(path, resumed=15)
    second.log_metrics({"loss": -20.0, "fd": float("nan")}, 20)
    assert [(record["step"], record["loss"]) for record in read(path)] == [(5, 5), (15, 15), (20, -20)]
    assert "NaN" not in path.read_text()
    assert sum("loss" in line for line in path.read_text().splitlines()) == 5, "nothing was rewritten"


def test_a_log_that_cannot_be_written_warns_once(tmp_path: Path) -> None:
    logger = JsonLines(tmp_path / "missing" / "metrics.jsonl")
    with pytest.warns(UserWarning, match="training goes on") as caught:
        for step in range(3):
            logger.log_metrics({"loss": 0.0}, step)
    assert len(caught) == 1
