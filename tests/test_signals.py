"""A run that is told to stop saves, says how to go on, and does not look finished."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny

from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.checkpoint_file import read
from stable_diffusion_lab.training.signals import Signals

REACTIONS = [("SIGTERM", 143), ("SIGHUP", 143), ("SIGUSR1", 143), ("SIGINT", 130)]


def train(folder: Path, after: Any, steps: int = 20) -> None:
    checkpoint = Checkpoint(folder, every=1000)
    callbacks = [Signals(checkpoint), checkpoint]
    tiny.trainer(folder, callbacks, steps).fit(tiny.System(after), tiny.Batches(steps))


def send(number: int, times: int = 1, at: int = 5) -> Any:
    """A hook that sends this process a signal in the middle of batch ``at``."""

    def after(system: tiny.System) -> None:
        if system.batches_seen == at:
            for _ in range(times):
                os.kill(os.getpid(), number)

    return after


@pytest.mark.parametrize(("name", "status", "at"), [*((*it, 5) for it in REACTIONS), ("SIGINT", 130, 20)])
def test_saves_at_the_end_of_the_batch_and_says_so(
    tmp_path: Path, name: str, status: int, at: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the last of twenty batches too: what comes after it would have begun."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell would have it ignored
    assert tiny.forked(lambda: train(tmp_path, send(signal.Signals[name], at=at))) == status
    assert read(latest(tmp_path))["batches_seen"] == at
    line = f"stopped by {name} at batch {at}, saved; resume with: sdlab train resume={tmp_path}\n"
    assert line in capfd.readouterr().err


def test_second_interrupt_leaves_at_once_and_writes_nothing(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert tiny.forked(lambda: train(tmp_path, send(signal.SIGINT, times=2))) == 130
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert tiny.forked(lambda: train(tmp_path, send(signal.SIGHUP))) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert read(latest(tmp_path))["batches_seen"] == 20


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_are_put_back(tmp_path: Path, fails: bool) -> None:
    def after(system: tiny.System) -> None:
        if fails:
            raise ZeroDivisionError

    numbers = [signal.Signals[name] for name, _ in REACTIONS]
    before = [signal.getsignal(number) for number in numbers]
    try:
        train(tmp_path, after, steps=2)
    except ZeroDivisionError:
        assert fails
    assert [signal.getsignal(number) for number in numbers] == before


def test_lightning_alone_would_pass_for_finished(tmp_path: Path) -> None:
    """The fault that this callback exists for; when it is gone from Lightning, look again."""

    def plain() -> None:
        trainer = tiny.trainer(tmp_path, [Checkpoint(tmp_path, every=1000)], steps=20)
        trainer.fit(tiny.System(send(signal.SIGTERM)), tiny.Batches(20))

    assert tiny.forked(plain) == 0
    assert not list(tmp_path.rglob("*.ckpt"))
