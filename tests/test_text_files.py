"""Text of any size: read in pieces, kept as tokens, and looked at where it lies."""

import codecs
import os
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from stable_diffusion_lab.cli import main
from stable_diffusion_lab.data import text, text_file
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.data.cut.base import Cut, split_of
from stable_diffusion_lab.data.cut.documents import Documents
from stable_diffusion_lab.data.cut.lines import Lines
from stable_diffusion_lab.data.cut.windows import Windows
from stable_diffusion_lab.data.rows import Rows
from stable_diffusion_lab.data.text import Text
from stable_diffusion_lab.data.text_file import boundary, lines, pieces, whole, words
from stable_diffusion_lab.error import DataError, DiskError
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer
from stable_diffusion_lab.modality.tokenizer.bytes import Bytes
from stable_diffusion_lab.modality.tokenizer.characters import Characters

WILD = "Naïve  €uros, 😀\t\n \n  can't\u3000 stop  now;\n" * 9
CHUNKS = [1, 2, 3, 7, 64, 10**6]
LENGTH = 12


def bpe() -> Tokenizer:
    pytest.importorskip("tokenizers", reason="the extra `text` is not installed")
    from stable_diffusion_lab.modality.tokenizer.bpe import BPE

    return BPE(300)


TOKENIZERS = {"characters": lambda: Characters(60), "bytes": Bytes, "bpe": bpe}
CUTS = {"windows": lambda: Windows(5, 0.2), "lines": Lines, "documents": Documents}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "a.txt"
    path.write_bytes(content)
    return path


def corpus(above: Path) -> Path:
    folder = above / "corpus"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.txt").write_text(WILD[n:] + f"the end of {n}" * 3)
    return folder


def load(path: Path, cut: Cut | None = None, tokenizer: Tokenizer | None = None, **more: int) -> Text:
    tokenizer = tokenizer or Characters(60)
    return Text(str(path), (LENGTH, tokenizer.size), cut or Windows(5, 0.2), tokenizer, LENGTH, **more)


@pytest.mark.parametrize("size", CHUNKS)
def test_a_text_in_pieces_is_the_text(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "CHUNK", size)
    path = written(tmp_path, codecs.BOM_UTF8 + WILD.replace("\n", "\r\n").encode() + b"\rlast\r")
    assert "".join(pieces(whole(path))) == WILD + "\nlast\n"
    assert "".join(words(whole(path))) == WILD + "\nlast\n"
    assert list(lines(path, 100)) == (WILD + "\nlast\n").split("\n")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_are_those_of_the_text_read_at_once(
    name: str, cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    folder = corpus(tmp_path)
    at_once = load(folder, CUTS[cut](), TOKENIZERS[name]())
    for size in CHUNKS[2:-1]:
        shutil.rmtree(own_cache)
        monkeypatch.setattr(text_file, "CHUNK", size)
        data = load(folder, CUTS[cut](), TOKENIZERS[name]())
        assert data.modality.node() == at_once.modality.node()
        assert data.fingerprint == at_once.fingerprint


def test_words_longer_than_a_piece_are_parted_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "CHUNK", 10)
    monkeypatch.setattr(text_file, "LONGEST", 20)
    found = list(words(whole(written(tmp_path, ("é" * 100).encode()))))
    assert "".join(found) == "é" * 100 and max(map(len, found)) < 30


@pytest.mark.parametrize("size", CHUNKS)
def test_windows_are_the_first_words_at_or_after_each_stride(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "CHUNK", size)
    rng = numpy.random.default_rng(0)
    story = " ".join("x" * n for n in rng.integers(1, 15, 300))
    data = load(written(tmp_path, story.encode()), Windows(5, 0.2), Characters(9))
    training = story[: boundary(tmp_path / "a.txt", round(0.6 * len(story)))]
    begins = [0, *(i + 1 for i, letter in enumerate(training[:-1]) if letter == " ")]
    firsts = {next((b for b in begins if b >= m), len(training)) for m in range(0, len(training), 5)}
    expected = [training[b : b + LENGTH] for b in sorted(firsts) if b + LENGTH <= len(training)]
    assert data.modality.texts(data.stored("train")) == expected


def test_windows_are_the_same_however_tokens_come() -> None:
    tokenizer, rng = Characters(60), numpy.random.default_rng(0)
    tokenizer.learn([WILD])
    tokens = tokenizer.encode(WILD)

    def cut(*places: int) -> list[list[int]]:
        strips = Windows(5).cutter(tokenizer, LENGTH, True)(iter(numpy.split(tokens, sorted(places))))
        return [numpy.concatenate(part).tolist() for part in zip(*strips, strict=True)]

    whole = cut()
    assert whole[0] == tokens.tolist() and len(whole[1]) > 20
    assert all(cut(*rng.integers(0, len(tokens), n)) == whole for n in range(1, 60))


@pytest.mark.parametrize("size", [1, 4, 10**6])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xe2\x82", b"\xe2\x82a", b"\0"])
def test_what_is_no_text_is_found_at_its_byte(
    wrong: bytes, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "CHUNK", size)
    what = "NUL" if wrong == b"\0" else "not UTF-8"
    begin = codecs.BOM_UTF8 + "naïve €\r\n".encode() * 3
    with pytest.raises(DataError, match=rf"a\.txt: {what} at byte {len(begin)}"):
        load(written(tmp_path, begin + wrong))


def test_a_long_line_is_refused_without_reading_it_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "CHUNK", 100)
    path = written(tmp_path, b"short\nlines\n" + b"x" * 10_000 + b"\xff\n")  # its end is no text
    with pytest.raises(DataError, match=r"a\.txt: line 3 has more than 4999 characters.*cut=windows"):
        load(path, Lines(longest=4999))
    with pytest.raises(DataError, match="not UTF-8"):
        load(path, Lines(longest=20_000))


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "CHUNK", 2**14)
    peaks, samples = [], []
    for times in (200, 2000):
        path = written(tmp_path, (WILD * times).encode())
        tracemalloc.start()
        data = load(path, tokenizer=Bytes())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        samples.append(len(data.train.samples))
        assert isinstance(data.train.samples, Rows)
    assert samples[1] > 9.5 * samples[0]
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < path.stat().st_size, "bytes of Python's and numpy's"


def test_tokens_are_made_once_and_again_if_they_are_lost(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(tmp_path)
    first = load(folder)
    (kept,) = own_cache.glob("text-*")
    for damage in (
        lambda: shutil.rmtree(own_cache),
        lambda: (kept / "train.tokens").write_bytes(b"cut"),
        lambda: (kept / "index.json").write_text("{"),
        lambda: (kept / "test.starts").unlink(),
    ):
        damage()
        again = load(folder)
        assert again.fingerprint == first.fingerprint and again.modality.node() == first.modality.node()
        assert [kept] == list(own_cache.glob("text-*"))
    monkeypatch.setattr(text, "write", None)  # not called any more
    assert load(folder).modality.node() == first.modality.node()


def test_long_work_is_announced_and_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "LARGE", 1000)
    said = []
    for _ in range(2):
        load(written(tmp_path, WILD.encode() * 5))
        said.append(capsys.readouterr().out)
    assert "GB of text apart into tokens, once" in said[0] and not said[1]


def test_of_processes_that_start_at_once_one_announces_long_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "LARGE", 1000)
    folder = corpus(tmp_path)
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(load, [folder, folder])
    assert capsys.readouterr().out.count("of text apart into tokens") == 1
    assert one.modality.node() == other.modality.node()


def test_whatever_tokens_depend_on_makes_others(tmp_path: Path, own_cache: Path) -> None:
    folder = corpus(tmp_path)
    load(folder)
    load(folder, Windows(6, 0.2))
    load(folder, tokenizer=Characters(59))
    load(folder, tokenizer=Bytes())
    (folder / "3.txt").write_text("changed")
    load(folder)
    (folder / "3.txt").rename(folder / "33.txt")
    load(folder)
    assert len(list(own_cache.glob("text-*"))) == 6


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, own_cache: Path) -> None:
    own_cache.touch()
    with pytest.raises(DiskError, match="set SDLAB_CACHE"):
        load(corpus(tmp_path))


def test_file_names_need_not_be_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(60):
        name = os.fsencode(folder) + b"/caf\xe9%d.txt" % number
        Path(os.fsdecode(name)).write_text("the cat sat on the mat\n" * 9)
    assert len(load(folder, Documents()).train.samples) > 9
    assert split_of("café") in ("train", "validation", "test")


def test_whoever_waits_for_tokens_takes_their_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, keep = corpus(tmp_path), text.keep

    def beaten(folder: Path, whole: Any, fill: Any) -> None:
        """Another process, with another vocabulary, had the lock before."""
        sources = text._sources(path, 0)
        keep(folder, whole, lambda part: text.write(part, sources, Windows(), Characters(4), LENGTH))
        keep(folder, whole, fill)

    monkeypatch.setattr(text, "keep", beaten)
    mine = Characters(60)
    load(path, Windows(), mine)
    assert len(mine.characters) == 2, "beside the end and what is unknown"


def test_what_is_judged_is_evenly_spaced_over_what_is_held_out(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    everything, some = load(folder), load(folder, judged=10)
    for split in ("validation", "test"):
        held_out = everything.stored(split)
        assert len(held_out) > 10 and torch.equal(
            some.stored(split), held_out[torch.arange(10) * len(held_out) // 10]
        )
    assert len(some.train.samples) == len(everything.train.samples)


def test_who_has_read_tokens_keeps_them_when_the_cache_is_deleted(tmp_path: Path, own_cache: Path) -> None:
    folder = corpus(tmp_path)
    data = load(folder)
    shutil.rmtree(own_cache)
    assert torch.equal(data.stored("train"), load(folder).stored("train"))


def test_a_run_goes_on_after_its_tokens_were_lost(tmp_path: Path, own_cache: Path) -> None:
    folder = corpus(tmp_path)

    def batches() -> list[torch.Tensor]:
        data = load(folder)
        return [texts for texts, _ in Batches(data.train, 8, 0, 5, modality=data.modality)]

    before = batches()
    words = ["data=text", "refiner=gru", f"data.path={folder}", "data.length=16", "tokenizer.size=40"]
    words += ["refiner.hidden_dim=16", "refiner.latent_dim=4", "generator.components=1", "health=none"]
    words += ["extractor.feature_dim=4", "metric=[frechet]", "measure=none", "logger=none", "batch_size=8"]
    assert main(["train", *words, "trainer.max_steps=3", f"runs={tmp_path}/runs"]) == 0
    (run,) = (tmp_path / "runs").glob("*/*")
    shutil.rmtree(own_cache)
    assert all(map(torch.equal, before, batches()))
    assert main(["train", f"resume={run}", "trainer.max_steps=5"]) == 0
    (folder / "0.txt").write_text("€ßµ" * 2000)
    assert main(["train", f"resume={run}", "trainer.max_steps=7"]) == 3  # another vocabulary


def test_texts_are_not_damaged(tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=text", f"data.path={corpus(tmp_path)}", "data.length=16", "task=inpainting"]
    assert main(["train", *words, f"runs={tmp_path}/runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "task: texts cannot be damaged; say task=generation" in line


def test_each_sample_has_the_class_of_its_folder(tmp_path: Path, own_cache: Path) -> None:
    for n, name in enumerate("cab"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / "x.txt").write_text(f"{name * 3} " * 100 * (n + 1))
    data = load(tmp_path / "corpus", classes=3)
    for split in data.splits.values():
        samples, labels = split.some()
        firsts = [line.strip()[0] for line in data.modality.texts(samples)]
        assert labels is not None and firsts == ["abc"[label] for label in labels]
    assert load(tmp_path / "corpus").train.labels is None
    with pytest.raises(DataError, match=r"3 folders with text.*data\.classes=2; set data\.classes=3"):
        load(tmp_path / "corpus", classes=2)
    (tmp_path / "corpus" / "loose.txt").write_text(WILD)
    with pytest.raises(DataError, match=r"loose\.txt: in no folder of a class"):
        load(tmp_path / "corpus", classes=3)
