"""A checkpoint is whole or absent, and damage is noticed before it is loaded."""

import errno
import os
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from shim import install

from stable_diffusion_lab.error import CheckpointError, DiskError, NonFiniteError, RefusedError
from stable_diffusion_lab.file.atomic import sweep, write_atomically
from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.checkpoint_file import AtomicCheckpointIO, read

OLD, NEW = "step-00000001.ckpt", "step-00000002.ckpt"


def state(value: float) -> dict[str, Any]:
    return {"state_dict": {"w": torch.full((1000,), value)}, "batches_seen": int(value)}


def save(run: Path, value: float) -> Path:
    path = run / "checkpoints" / f"step-{int(value):08d}.ckpt"
    AtomicCheckpointIO().save_checkpoint(state(value), path)
    return path


def count_calls(run: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        shim = install(patch, fatal=0, fail=lambda: None)
        save(run, 1.0)
        return shim.calls


def test_kill_at_every_file_system_call(tmp_path: Path) -> None:
    calls = count_calls(tmp_path / "count")
    assert calls >= 7
    survived = []
    for k in range(1, calls + 1):
        run = tmp_path / str(k)
        save(run, 1.0)

        def die(run: Path = run, k: int = k) -> None:
            with pytest.MonkeyPatch.context() as patch:
                install(patch, fatal=k, fail=lambda: os._exit(9))
                save(run, 2.0)

        assert tiny.forked(die) == 9
        for path in run.glob("checkpoints/step-*"):
            read(path)  # no file with a final name is torn
        found = read(latest(run))
        assert found["state_dict"]["w"].unique().item() == found["batches_seen"]
        survived.append(found["batches_seen"])
        sweep(run / "checkpoints")
        assert {path.name for path in (run / "checkpoints").iterdir()} <= {OLD, NEW}
    assert sorted(survived) == survived and set(survived) == {1, 2}


def test_full_disk_at_every_file_system_call(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for k in range(1, count_calls(tmp_path / "count") + 1):
        run = tmp_path / str(k)
        save(run, 1.0)
        with pytest.MonkeyPatch.context() as patch:
            install(patch, fatal=k, fail=full)
            with pytest.raises(DiskError, match="no space left") as caught:
                save(run, 2.0)
        assert (caught.value.tag, caught.value.exit_code) == ("DISK-FULL", 5)
        assert {path.name for path in (run / "checkpoints").iterdir()} <= {OLD, NEW}
        read(run / "checkpoints" / OLD)
        latest(run)


def test_a_file_in_place_of_the_folder_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="file/a: cannot be written"):
        write_atomically(tmp_path / "file" / "a", b"data")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99, -1])
def test_a_cut_checkpoint_is_noticed_and_the_one_before_is_used(
    tmp_path: Path, part: float, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = save(tmp_path, 1.0), save(tmp_path, 2.0)
    data = new.read_bytes()
    new.write_bytes(data[:-1] if part == -1 else data[: int(part * len(data))])
    with pytest.raises(CheckpointError) as caught:
        read(new)
    assert (caught.value.tag, caught.value.exit_code) == ("CKPT-TRUNCATED", 4)
    assert latest(tmp_path) == old
    line = capsys.readouterr().err
    assert NEW in line and "CKPT-TRUNCATED" in line and line.count("\n") == 1


def test_no_flipped_bit_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, 2.0)
    good, chance, noticed = path.read_bytes(), random.Random(0), 0
    for _ in range(64):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
        try:
            found = read(path)
        except CheckpointError:
            noticed += 1
        else:  # the bit belonged to padding or to a date, and nothing depends on it
            assert torch.equal(found["state_dict"]["w"], state(2.0)["state_dict"]["w"])
    assert noticed > 40


def test_a_flipped_bit_of_a_weight_is_named_damage(tmp_path: Path) -> None:
    path = save(tmp_path, 2.0)
    data = bytearray(path.read_bytes())
    data[data.find(torch.full((8,), 2.0).numpy().tobytes()) + 6] ^= 1
    path.write_bytes(bytes(data))
    assert torch.load(path, weights_only=True)["state_dict"]["w"].unique().numel() == 2, "PyTorch loads it"
    with pytest.raises(CheckpointError, match="data/0 is damaged") as caught:
        read(path)
    assert caught.value.tag == "CKPT-HASH"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (random.Random(0).randbytes(5000), "not a checkpoint"),
    ],
)
def test_other_kinds_of_file_are_named(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=word) as caught:
        read(path)
    assert caught.value.tag == "CKPT-KIND"
    assert "weights_only" not in str(caught.value)


def test_archives_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("a.txt", "a" * 100)
        with pytest.raises(CheckpointError, match="CKPT-KIND"):
            read(path)
    torch.save({"weights": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="holds no training state"):
        read(path)


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch canary",)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": {}, "x": Hostile()}, "x.ckpt")
    with pytest.raises(RefusedError, match=r"posix\.system") as caught:
        read(Path("x.ckpt"))
    assert caught.value.exit_code == 9
    assert not Path("canary").exists()


def test_no_checkpoint_is_an_error_and_never_a_fresh_start(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))) as caught:
        latest(tmp_path)
    assert caught.value.tag == "CKPT-NONE"


def test_saves_by_batches_and_keeps_the_newest(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".step-00000001.ckpt.7.part").write_bytes(b"left by a kill")
    trainer = tiny.trainer(tmp_path, [Checkpoint(tmp_path, every=2, keep=2)], steps=7)
    trainer.fit(tiny.System(), tiny.Batches(7))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000006.ckpt", "step-00000007.ckpt"]
    assert [read(tmp_path / "checkpoints" / name)["batches_seen"] for name in names] == [6, 7]
    saved = read(tmp_path / "checkpoints" / names[0])["state_dict"]
    assert torch.equal(saved["average.weight"], saved["model.weight"]), "saved before the average moved"


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    def poison(system: tiny.System) -> None:
        if system.batches_seen == 4:
            system.model.bias.data[1] = float("nan")

    with pytest.raises(NonFiniteError, match=r"model\.bias") as caught:
        trainer = tiny.trainer(tmp_path, [Checkpoint(tmp_path, every=2)], steps=8)
        trainer.fit(tiny.System(poison), tiny.Batches(8))
    assert caught.value.exit_code == 7
    assert NEW in str(caught.value)
    assert latest(tmp_path).name == NEW
