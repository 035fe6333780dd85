"""What a run shows and notices while it trains."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from PIL import Image
from rich.console import Console

from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.error import NonFiniteError
from stable_diffusion_lab.modality.image import grid
from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.finite import Finite
from stable_diffusion_lab.training.gallery import Gallery
from stable_diffusion_lab.training.json_lines import JsonLines, read
from stable_diffusion_lab.training.progress import Bar, Unheard
from stable_diffusion_lab.training.terms import Terms


def test_grid_puts_every_pixel_where_it_belongs() -> None:
    images = torch.arange(5 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(5, 3, 64, 64)
    picture = torch.tensor(list(grid(images, 2).tobytes()), dtype=torch.uint8).view(3 * 66 + 2, 2 * 66 + 2, 3)
    for index, image in enumerate(images):
        top, left = 2 + 66 * (index // 2), 2 + 66 * (index % 2)
        assert torch.equal(picture[top : top + 64, left : left + 64].permute(2, 0, 1), image)


def test_grid_enlarges_small_images_by_whole_factors() -> None:
    image = torch.tensor([[[[0, 255], [255, 0]]]], dtype=torch.uint8)
    picture = grid(image, 1)
    assert picture.size == (60, 60) and picture.mode == "L"
    assert [picture.getpixel(at) for at in ((2, 2), (29, 29), (30, 29), (57, 57))] == [0, 0, 255, 0]


def test_gallery_shows_drafts_beside_refinements_and_keeps_the_noise(tmp_path: Path) -> None:
    split = Split(torch.arange(32, dtype=torch.uint8).view(8, 1, 2, 2), None)
    gallery = Gallery(tmp_path, every=4, seed=0, data=Data("tiny", (1, 2, 2), split, split, split))
    tiny.trainer(tmp_path, [gallery], steps=10).fit(tiny.System(), tiny.Batches(10))
    pictures = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in pictures] == [f"step-{t:08d}.png" for t in (4, 8, 10)]
    picture = Image.open(pictures[-1])
    half = (picture.width - 8) // 2
    left, right = picture.getpixel((10, 24)), picture.getpixel((half + 18, 24))
    assert abs(left + right - 255) <= 1, "the tiny refiner turns the sign"
    darkest = [picture.crop((at, 0, at + half, 14)).getextrema()[0] for at in (0, half + 8)]
    assert max(darkest) < 128, "each half has a caption"


def test_plain_output_has_a_line_for_every_tenth(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    bar = Bar(4, lambda: {"draft/fd": 2.125, "draft/kd": 9.0}, console)
    trainer = tiny.trainer(tmp_path, [bar], steps=40, enable_progress_bar=True)
    trainer.fit(tiny.System(), tiny.Batches(40))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("4/40  refiner learns") and lines[-1].startswith("40/40  generator learns")
    assert "square/generator" in lines[0] and "draft/fd 2.12" in lines[0]


def test_training_goes_on_when_nobody_reads_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []

    class Pipe(io.StringIO):
        def write(self, text: str, /) -> int:
            lines.append(text)
            raise BrokenPipeError

    bar = Bar(4, dict, Unheard(file=Pipe(), width=80))
    trainer = tiny.trainer(tmp_path, [bar], steps=40, enable_progress_bar=True)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        trainer.fit(tiny.System(), tiny.Batches(40))
        monkeypatch.undo()
    assert len(lines) == 1 and trainer.global_step == 40


def test_terminal_gets_one_bar(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    bar = Bar(4, lambda: {"draft/fd": 2.125, "draft/kd": 9.0}, console)
    trainer = tiny.trainer(tmp_path, [bar], steps=40, enable_progress_bar=True)
    trainer.fit(tiny.System(), tiny.Batches(40))
    end = console.file.getvalue().split("\r")[-1]
    assert all(word in end for word in ("40/40", "generator learns", "square/generator", "draft/fd 2.12"))


def test_a_term_that_is_not_finite_stops_the_run_by_name(tmp_path: Path) -> None:
    def poison(system: tiny.System) -> None:
        if system.batches_seen >= 6:
            system.terms["square/critic"] = torch.tensor(float("inf"))

    trainer = tiny.trainer(tmp_path, [Finite(4)], steps=20)
    with pytest.raises(NonFiniteError, match="batch 7: square/critic is inf") as caught:
        trainer.fit(tiny.System(poison), tiny.Batches(20))
    assert caught.value.exit_code == 7


def test_terms_are_logged_by_batches_done_and_not_twice_after_a_resumption(tmp_path: Path) -> None:
    def run(steps: int, first: int, **options: Any) -> None:
        logger = JsonLines(tmp_path / "metrics.jsonl", first)
        checkpoint = Checkpoint(tmp_path, every=4)
        trainer = tiny.trainer(tmp_path, [Terms(2), checkpoint], steps, logger=[logger])
        trainer.fit(tiny.System(), tiny.Batches(steps, first), **options)

    run(8, 0)
    run(12, 8, ckpt_path=latest(tmp_path))
    records = read(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10, 12]
    assert all({"train/square/generator", "adapt/square/generator"} <= set(record) for record in records)
