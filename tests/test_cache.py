"""What is kept between runs is there as a whole or not at all."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stable_diffusion_lab.error import DataError, DiskError
from stable_diffusion_lab.file.cache import keep


def whole(folder: Path) -> bool:
    return (folder / "end").exists()


def fill(folder: Path) -> None:
    (folder / "begin").write_text("1")
    (folder / "end").write_text("2")


def test_what_is_whole_is_left_alone_and_what_is_not_is_made_anew(tmp_path: Path) -> None:
    kept = tmp_path / "new" / "kept"
    for leftover in (kept, kept.with_name(".kept.part")):  # damaged; of a process that was killed
        leftover.mkdir(parents=True)
        (leftover / "begin").write_text("half")
    keep(kept, whole, fill)
    assert {path.name: path.read_text() for path in kept.iterdir()} == {"begin": "1", "end": "2"}
    kept.with_name(".kept.lock").unlink()
    keep(kept, whole, lambda part: pytest.fail("it is there"))
    assert [path.name for path in kept.parent.iterdir()] == ["kept"], "nothing is written, not even a lock"


def test_of_two_that_want_it_at_once_one_makes_it_and_the_other_waits(tmp_path: Path) -> None:
    made = []

    def fill_slowly(part: Path) -> None:
        made.append(part)
        time.sleep(0.3)
        fill(part)

    def want(_: int) -> bool:
        keep(tmp_path / "kept", whole, fill_slowly)
        return whole(tmp_path / "kept")

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(want, range(2))) == [True, True]
    assert len(made) == 1


def test_a_failure_leaves_nothing_that_could_be_taken_for_whole(tmp_path: Path) -> None:
    def break_off(part: Path) -> None:
        fill(part)
        raise DataError("DATA-TEXT", "not UTF-8")

    with pytest.raises(DataError, match="not UTF-8"):
        keep(tmp_path / "kept", whole, break_off)
    assert [path.name for path in tmp_path.iterdir()] == [".kept.lock"]


def test_a_full_disk_is_one_line_even_where_a_damaged_folder_lies(tmp_path: Path) -> None:
    def run_full(part: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "kept").mkdir()
    with pytest.raises(DiskError, match="No space left on device; set SDLAB_CACHE"):
        keep(tmp_path / "kept", whole, run_full)
    assert not whole(tmp_path / "kept")
