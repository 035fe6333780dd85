"""The command line: quick help, one line for each failure, an exit code for each kind of failure."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stable_diffusion_lab import __version__, cli, error
from stable_diffusion_lab.command.check import check
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.config_path import CONF

HEAVY = {"torch", "lightning", "hydra", "omegaconf", "numpy", "wandb"}


def run(*words: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """``sdlab`` in a process of its own, after and before the given lines of code."""
    program = f"import sys\nfrom stable_diffusion_lab import cli\n{code}\nsys.exit(cli.main())"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], []])
def test_help_takes_half_a_second_and_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import atexit, json, time\n"
        "tops = lambda: sorted({name.split('.')[0] for name in sys.modules})\n"
        "atexit.register(lambda: print('\\n' + json.dumps([time.process_time(), tops()])))"
    )
    done = run(*words, code=code)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0
    assert seconds < 0.5
    assert not set(modules) & HEAVY


def test_help_names_each_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in cli.VERBS:
        assert re.search(rf"^  {verb} +\w", shown, re.M)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_shows_its_values_and_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert len(re.findall(rf"^ +sdlab {verb}\b", shown, re.M)) >= 5
    assert re.search(r"^  seed: (0|null)", shown, re.M)


def test_help_of_train_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["train", "--help"])
    shown = capsys.readouterr().out
    assert re.search(r"^  generator +.*\*latent", shown, re.M)
    for group in ("data", "generator", "refiner", "objective", "metric", "logger"):
        line = next(it for it in shown.splitlines() if it.startswith(f"  {group} "))
        assert {it.strip("*") for it in line.split()[1:]} == {it.stem for it in (CONF / group).glob("*.yaml")}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_examples_in_the_help_are_right(verb: str) -> None:
    comment = re.findall(rf"^# +sdlab ({verb}.*)$", (CONF / f"{verb}.yaml").read_text(), re.M)
    for example in comment:
        words = [word.split(",")[0] if "[" not in word else word for word in shlex.split(example)]
        check(verb, compose(verb, [word for word in words[1:] if word != "-m"]))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out == f"sdlab {__version__}\n"


def test_the_index_holds_what_it_names() -> None:
    import stable_diffusion_lab

    for name in stable_diffusion_lab.__all__:
        assert getattr(stable_diffusion_lab, name) is not None
    assert set(dir(stable_diffusion_lab)) >= set(stable_diffusion_lab.__all__)
    assert not hasattr(stable_diffusion_lab, "Nonsense")


FAILURES = [
    (error.ConfigError("CFG-X", "a: b"), 2, "sdlab: error[CFG-X]: a: b"),
    (error.DataError("DATA-X", "two\n  lines"), 3, "sdlab: error[DATA-X]: two lines"),
    (error.CheckpointError("CKPT-X", "c"), 4, "sdlab: error[CKPT-X]: c"),
    (OSError(errno.ENOSPC, "No space left", "runs/x"), 5, "sdlab: error[DISK-FULL]: runs/x: no space left"),
    (error.DistributedError("DIST-X", "d"), 6, "sdlab: error[DIST-X]: d"),
    (error.NonFiniteError("NUM-X", "e"), 7, "sdlab: error[NUM-X]: e"),
    (error.UnhealthyError("HEALTH-X", "g"), 8, "sdlab: error[HEALTH-X]: g"),
    (error.RefusedError("SEC-X", "f"), 9, "sdlab: error[SEC-X]: f"),
    (MemoryError(), 10, "sdlab: error[MEMORY]: too little memory (of this machine); lower batch_size, or n"),
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. See the manual"),
        10,
        "sdlab: error[MEMORY]: too little memory (CUDA out of memory); lower batch_size, or n",
    ),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 10, "sdlab: error[MEMORY]: "),
    (ValueError("odd\nthing"), 1, "sdlab: error[BUG]: ValueError: odd thing; run again with --trace"),
    (OSError(errno.EIO, "I/O error"), 1, "sdlab: error[BUG]: OSError"),
    (KeyboardInterrupt(), 130, "sdlab: interrupted"),
]


@pytest.mark.parametrize(("failure", "code", "line"), FAILURES)
@pytest.mark.parametrize("trace", [[], ["--trace"]])
def test_a_failure_is_one_line_and_an_exit_code(
    failure: BaseException,
    code: int,
    line: str,
    trace: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(config: object) -> None:
        raise failure

    monkeypatch.setitem(cli.VERBS, "sample", f"{__name__}:fail")
    monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)
    assert cli.main(["sample", "run=x", *trace]) == code
    shown = capsys.readouterr().err.splitlines()
    assert shown[-1].startswith(line)
    assert ("Traceback" in shown[0]) == bool(trace)
    assert len(shown) == 1 or trace


def test_a_command_may_choose_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "sample", "sys:exit")
    with pytest.raises(SystemExit):
        cli.main(["sample", "run=x"])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "error[CFG-VERB]: trian: no such command; did you mean 'train'?"),
        (["--nonsense"], "error[CFG-VERB]"),
        (["train", "--nonsense"], "error[CFG-FLAG]: --nonsense"),
        (["evaluate"], "error[CFG-MISSING]: run: has no value yet; set it with run=..."),
    ],
)
def test_a_wrong_command_line_says_so(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"sdlab: {line}")


SHOW = """
import types
def show(config):
    print("job", config.seed, sys.argv[1:])
sys.modules["shown"] = types.SimpleNamespace(show=show)
cli.VERBS["sample"] = "shown:show"
"""


@pytest.mark.parametrize("words", [["-m", "run=x", "seed=1,2"], ["run=x", "seed=1,2", "--multirun"]])
def test_a_sweep_runs_the_command_once_for_each_job(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sample", *words, code=SHOW)
    assert done.returncode == 0, done.stderr
    jobs = [line for line in done.stdout.splitlines() if line.startswith("job")]
    assert jobs == [f"job {seed} ['sample', 'run=x', 'seed={seed}']" for seed in (1, 2)]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["multirun.yaml"]
    assert files[0].parts[:2] == ("runs", "multirun")


@pytest.mark.parametrize(
    ("words", "key"),
    [(["seed=1,-2"], "seed: -2"), (["sed=1,2"], "sed: no such key"), (["seed=1,[2"], "seed")],
)
def test_a_sweep_checks_each_job(
    words: list[str], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sample", "-m", "run=x", *words, code=SHOW)
    assert done.returncode == 2
    assert key in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", [["-m"], ["--cfg", "job"]])
@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("", "CFG-SYNTAX"),
        ("generator=5", "generator=5: write"),
        ("hydra.searchpath=[/none]", "no folder /none"),
    ],
)
def test_words_for_hydra_are_looked_at_too(
    flag: list[str], word: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("train", *flag, word)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert wrong in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_home_folder_may_be_written_as_in_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which itself does so in ``run=~/photos``, but not after a key with a dot."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["train", "data=image_folder", "data.path=~/photos"]) == 3
    assert f"{tmp_path}/photos" in capsys.readouterr().err


def test_hydra_shows_the_configuration() -> None:
    done = run("sample", "--cfg", "job", "run=x", "seed=7")
    assert done.returncode == 0
    assert "seed: 7" in done.stdout


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("sdlab train generator=mi", "generator=mixture"),
        ("sdlab train seed=3 generator=mi", "generator=mixture"),
        ("sdlab evaluate spl", "split="),
    ],
)
def test_the_shell_completes_after_a_verb(line: str, answer: str) -> None:
    done = run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.stdout.split() == [answer]


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    words = f"{sys.executable} -m stable_diffusion_lab train --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage")
    assert not done.stderr
