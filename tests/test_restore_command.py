"""``sdlab restore``: any picture file in, completions out, and what is known stays bit for bit."""

import math
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import parts
import pytest
import torch
from PIL import Image as Picture
from torch import Tensor

from stable_diffusion_lab.batch import Observation, Sample
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command import restore
from stable_diffusion_lab.command.complete import Completed, complete
from stable_diffusion_lab.command.load import Trained
from stable_diffusion_lab.command.sheet import sheet
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.file.picture import Picture as Source
from stable_diffusion_lab.file.picture import PictureReader
from stable_diffusion_lab.file.tiles import Blend, Tiles, axis
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.modality.vector import Vector
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.task.base import Task
from stable_diffusion_lab.task.damage.centre_box import CentreBox
from stable_diffusion_lab.task.damage.colour_loss import LUMA, ColourLoss
from stable_diffusion_lab.task.damage.downsampling import Downsampling
from stable_diffusion_lab.task.damage.gaussian_noise import GaussianNoise
from stable_diffusion_lab.task.damage.projection import Projection
from stable_diffusion_lab.task.restoration import Restoration
from stable_diffusion_lab.training.log_likelihood import log_likelihood

SIZE = (13, 11)  # width and height of the pictures
BOX = (3, 2, 5, 6)  # left, top, width, height
HOLE = np.zeros(SIZE[::-1], dtype=bool)
HOLE[2:8, 3:8] = True
INPAINTING = Restoration({"box": CentreBox(0.5)})
DENOISING = Restoration({"noise": GaussianNoise(0.3, 0.3)})


class Echo(Pair):
    """Returns what it is given, and remembers that, and for how many it was asked each time."""

    given: ClassVar[list[Tensor]] = []

    def restore(self, x: Tensor, mask: Tensor, n: int = 4, seed: int = 0) -> Sample:
        self.given = [*self.given, x]
        copies = x[:, None].expand(-1, n, *x.shape[1:])
        return Sample(copies, copies)


def make(channels: int = 1, task: Task = INPAINTING, kind: type[Pair] = Pair) -> Pair:
    torch.manual_seed(0)
    shape = (channels, 8, 8)
    generator = UNet(4, shape, 4, 2, 8)
    with torch.no_grad():
        generator.network.leave.weight.mul_(10)  # so that completions differ by more than a shade of grey
    return kind(generator, parts.LinearRefiner(shape, 6), Pixels(), task).eval()


Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Says which pair the command finds in the run folder."""

    def choose(pair: Pair, modality: Modality | None = None) -> None:
        trained = Trained(None, pair, 0, modality or Image())  # type: ignore[arg-type]
        monkeypatch.setattr(restore, "load", lambda run, device: trained)

    choose(make())
    return choose


def run(source: Path, *words: str) -> int:
    out = source.parent / "out"
    return main(["restore", "run=x", f"input={source}", f"out={out}", "device=cpu", *words])


def box() -> str:
    return f"mask=[{','.join(map(str, BOX))}]"


def noise(*shape: int, dtype: Any = np.uint8, high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def colourful(mode: str = "RGB") -> Picture.Image:
    return Picture.fromarray(noise(SIZE[1], SIZE[0], 4)[..., : 4 if mode == "RGBA" else 3]).convert(mode)


def clear_palette() -> Picture.Image:
    picture = colourful().quantize(32)
    picture.info["transparency"] = bytes([0, 100, 255])
    return picture


def pictures() -> dict[str, tuple[Picture.Image, str]]:
    grey = noise(SIZE[1], SIZE[0])
    wide = noise(SIZE[1], SIZE[0], dtype=np.uint16, high=65536)
    return {
        "1": (Picture.fromarray(grey).convert("1"), "png"),
        "L": (Picture.fromarray(grey), "png"),
        "L-bmp": (Picture.fromarray(grey), "bmp"),
        "L-pgm": (Picture.fromarray(grey), "pgm"),
        "LA": (Picture.fromarray(noise(SIZE[1], SIZE[0], 2), "LA"), "png"),
        "P": (colourful().quantize(32), "png"),
        "P-gif": (colourful().quantize(32), "gif"),
        "P-clear": (clear_palette(), "png"),
        "RGB": (colourful(), "png"),
        "RGB-webp": (colourful(), "webp"),
        "RGB-tif": (colourful(), "tif"),
        "RGBA": (colourful("RGBA"), "png"),
        "CMYK": (Picture.frombytes("CMYK", SIZE, noise(SIZE[1], SIZE[0], 4).tobytes()), "tiff"),
        "YCbCr": (colourful("YCbCr"), "tif"),
        "I;16": (Picture.fromarray(wide), "png"),
        "I;16-tif": (Picture.fromarray(wide), "tif"),
        "I;16B": (Picture.fromarray(wide.astype(">u2")), "tif"),
        "I": (Picture.fromarray(wide.astype(np.int32)), "pgm"),
    }


def saved(path: Path, picture: Picture.Image) -> Picture.Image:
    """What Pillow reads after it has written."""
    picture.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return opened(path)


def opened(path: Path) -> Picture.Image:
    with Picture.open(path) as picture:
        picture.load()
    return picture


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", pictures())
def test_what_is_known_stays_bit_for_bit(name: str, channels: int, use: Use, tmp_path: Path) -> None:
    picture, ending = pictures()[name]
    before = saved(tmp_path / f"x.{ending}", picture)
    use(make(channels))
    assert run(tmp_path / f"x.{ending}", box(), "n=3") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {*(f"x-{i}.{ending}" for i in (1, 2, 3)), "x-sheet.png"}
    for i in (1, 2, 3):
        after = opened(tmp_path / "out" / f"x-{i}.{ending}")
        assert (after.mode, after.size, after.format) == (before.mode, before.size, before.format)
        old, new = (np.asarray(it if name != "P-gif" else it.convert("RGB")) for it in (before, after))
        assert new.dtype == old.dtype
        assert (new[~HOLE] == old[~HOLE]).all()
        assert (new[HOLE] != old[HOLE]).any()
        assert after.info.get("transparency") == before.info.get("transparency")


# What is restored in these has no black plane, is converted with rounding, or stays unseen.
ROUNDED = ("CMYK", "YCbCr", "P-clear", "LA", "RGBA")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [name for name in pictures() if name not in ROUNDED])
def test_a_pair_that_returns_its_input_returns_the_file(
    name: str, channels: int, use: Use, tmp_path: Path
) -> None:
    picture, ending = pictures()[name]
    before = saved(tmp_path / f"x.{ending}", picture)
    use(make(channels, DENOISING, Echo))
    assert run(tmp_path / f"x.{ending}", "mask=null", "n=1") == 0
    after = opened(tmp_path / "out" / f"x-1.{ending}")
    assert (np.asarray(after.convert("RGB")) == np.asarray(before.convert("RGB"))).all()
    assert (np.asarray(after) == np.asarray(before)).all() or before.mode == "P"


@pytest.mark.parametrize("size", [(8, 8), (5, 8), (1, 3), (2, 9), (9, 12), (13, 11), (40, 23)])
def test_tiles_blend_to_what_they_were_cut_from(size: tuple[int, int]) -> None:
    whole = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tiles = Tiles(size, (8, 6), layers=2)
    blend = Blend(tiles, 1, 3)
    for which in torch.arange(len(tiles)).split(5):
        cut = tiles.cut(whole, which)
        assert cut.shape == (len(which), 3, 8, 6)
        blend.add(cut[:, None], which)
    torch.testing.assert_close(blend.result()[0], whole)
    assert torch.equal(blend.result()[0], whole) or size[0] > 8 or size[1] > 6, "one tile: as it is"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_what_is_too_small_is_continued_by_reflection(size: int) -> None:
    places = axis(size, 8).places
    before = (8 - size) // 2
    padded = np.pad(np.arange(size), (before, 8 - size - before), mode="reflect")
    assert places.tolist() == [padded.tolist()]


@pytest.mark.parametrize("size", range(9, 60))
def test_neighbouring_tiles_overlap_by_half_or_more(size: int) -> None:
    starts = axis(size, 8).places[:, 0]
    assert starts[0] == 0 and starts[-1] == size - 8
    assert starts.diff().min() >= 1 and starts.diff().max() <= 4
    assert len(starts) == math.ceil((size - 8) / 4) + 1, "no more than it takes"


@pytest.mark.parametrize("grid", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("size", [5, 8, 9, 16, 45, 61])
def test_tiles_begin_on_the_grid_and_leave_nothing_out(size: int, grid: int) -> None:
    places, weights = axis(size, 8, grid)
    assert set(places[weights > 0].tolist()) == set(range(size))
    first = places[:, 0] if size >= 8 else -(weights > 0).long().argmax(dim=1)
    assert not (first % grid).any() and (first.diff() > 0).all()
    assert first.diff().max() <= 4 + grid if len(first) > 1 else size <= 8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(5, 6), (48, 64), (45, 61)])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_squares_keep_the_means_that_were_seen_also_across_tiles(
    factor: int, size: tuple[int, int], channels: int, use: Use, tmp_path: Path
) -> None:
    height, width = (-(-side // factor) for side in size)
    small = noise(height, width, 3)
    before = small.repeat(factor, 0).repeat(factor, 1)[: size[0], : size[1]]
    Picture.fromarray(before).save(tmp_path / "x.png")
    use(make(channels, Restoration({"few": Downsampling(factor)})))
    assert run(tmp_path / "x.png", "mask=null", "n=2") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-2.png")).astype(float)
    for i in range(height):
        for k in range(width):
            square = after[i * factor : (i + 1) * factor, k * factor : (k + 1) * factor]
            assert np.abs(square.mean(axis=(0, 1)) - small[i, k]).max() <= 0.51, "rounding of each pixel"
    assert np.abs(after - before).max() > 5, "nothing was made up"


def observations(pair: Pair) -> list[Observation]:
    """What the generator will have looked at."""
    found: list[Observation] = []
    pair.generator.register_forward_pre_hook(lambda _, args: found.append(args[1]))
    return found


@pytest.mark.parametrize("damage", [Downsampling(4), ColourLoss()], ids=["few", "grey"])
def test_of_a_file_that_was_not_damaged_so_only_that_counts_which_the_damage_keeps(
    damage: Projection, use: Use, tmp_path: Path
) -> None:
    """A smoothly enlarged picture, a scan with a tint: here pixels of any colour."""
    pair = make(3, Restoration({"only": damage}))
    seen = observations(pair)
    use(pair)
    before = saved(tmp_path / "x.png", colourful())
    assert run(tmp_path / "x.png", "mask=null", "n=2") == 0
    kept = damage.keep(values(before))
    for name in ("x-1.png", "x-2.png"):
        after = damage.keep(values(opened(tmp_path / "out" / name)))
        assert (after - kept).abs().max() <= 0.51, "rounding of each pixel"
    assert seen
    for sample, *_ in seen:
        torch.testing.assert_close(damage.keep(sample), sample)


def values(picture: Picture.Image) -> Tensor:
    """``[1, 3, H, W]``, 0 to 255."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("damage", [Downsampling(4), ColourLoss()], ids=["few", "grey"])
def test_around_a_hole_the_rest_of_a_square_counts_in_the_first_round_and_in_later_ones(
    damage: Projection, use: Use, tmp_path: Path
) -> None:
    pair = make(3, Restoration({"only": damage}))
    seen = observations(pair)
    use(pair)
    pixels = noise(40, 40, 3, high=10)  # dark, and what is lost is grey to networks
    pixels[9:31, 9:31] = 255
    Picture.fromarray(pixels).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=[9,9,22,22]", "n=1") == 0
    assert len(seen) > 1, "a hole that takes rounds"
    for sample, where, _ in seen:
        torch.testing.assert_close(damage.observable(sample * where, where), sample)
    first = seen[0].sample[seen[0].seen.expand_as(seen[0].sample) > 0]
    assert first.max() < -0.9, "what is lost took part"


def test_tiles_are_damaged_as_the_whole_is(use: Use, tmp_path: Path) -> None:
    pair = make(1, Restoration({"few": Downsampling(3)}), Echo)
    use(pair)
    Picture.fromarray(noise(15, 17).repeat(3, 0).repeat(3, 1)).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=null", "n=1") == 0
    for x in pair.given:
        torch.testing.assert_close(Downsampling(3).keep(x), x)


def test_a_blend_changes_smoothly_from_one_tile_to_the_next() -> None:
    tiles = Tiles((12,), (8,))
    blend = Blend(tiles, 1, 1)
    blend.add(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 1, 8), torch.arange(2))
    ramp = blend.result().flatten()
    assert torch.equal(ramp[:4], torch.zeros(4)) and torch.equal(ramp[8:], torch.ones(4))
    torch.testing.assert_close(ramp[4:8], torch.sin(math.pi * (torch.arange(4) + 0.5) / 8) ** 2)


@pytest.mark.parametrize("size", [(8, 8), (4, 6), (7, 30), (33, 9)])
def test_every_size_is_restored(size: tuple[int, int], use: Use, tmp_path: Path) -> None:
    Picture.fromarray(noise(*size[::-1])).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=[1,1,2,2]", "n=2") == 0
    assert opened(tmp_path / "out" / "x-2.png").size == size


def test_tiles_go_through_the_pair_together_and_only_those_with_a_hole(use: Use, tmp_path: Path) -> None:
    Picture.fromarray(noise(64, 64)).save(tmp_path / "x.png")
    pair = make(kind=Echo)
    use(pair)
    assert run(tmp_path / "x.png", "mask=[30,30,1,1]") == 0
    assert [*map(len, pair.given)] == [4], "a pixel inside lies in two tiles along each axis"
    use(pair := make(1, DENOISING, Echo))
    assert run(tmp_path / "x.png", "mask=null", "batch_size=100", f"out={tmp_path}/other") == 0
    assert [*map(len, pair.given)] == [100, 100, 25]


def test_transparent_pixels_are_lost_and_become_opaque(use: Use, tmp_path: Path) -> None:
    pixels = noise(SIZE[1], SIZE[0], 4)
    pixels[..., 3] = np.where(HOLE, 0, np.maximum(pixels[..., 3], 1))
    Picture.fromarray(pixels).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=auto", "n=1") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    assert (after[~HOLE] == pixels[~HOLE]).all()
    assert (after[HOLE][:, 3] == 255).all()


def test_a_transparent_colour_of_a_palette_is_lost_and_never_used_for_what_is_restored(
    use: Use, tmp_path: Path
) -> None:
    picture = colourful().quantize(16)
    pixels = np.where(HOLE, 7, np.where(np.asarray(picture) == 7, 8, np.asarray(picture))).astype(np.uint8)
    picture.frombytes(pixels.tobytes())
    picture.save(tmp_path / "x.png", transparency=7)
    use(make(kind=Echo))  # would like that very colour back
    assert run(tmp_path / "x.png", "n=1") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    assert (after[~HOLE] == pixels[~HOLE]).all()
    assert (after != 7).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_a_mask_may_be_any_picture(mode: str, use: Use, tmp_path: Path) -> None:
    before = saved(tmp_path / "x.png", colourful())
    drawn = HOLE.astype(np.uint16) * 9
    if mode == "RGBA":
        layers = np.dstack([HOLE * 200, HOLE * 0, HOLE * 0, HOLE * 255]).astype(np.uint8)
        layers[0, 0] = (255, 255, 255, 0)  # under transparency
        Picture.fromarray(layers).save(tmp_path / "mask.png")
    else:
        mask = Picture.fromarray(drawn if mode == "I;16" else (drawn > 0).astype(np.uint8) * 255)
        (mask if mode == "I;16" else mask.convert(mode)).save(tmp_path / "mask.png")
    assert run(tmp_path / "x.png", f"mask={tmp_path}/mask.png", "n=1") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    assert ((after != np.asarray(before)).any(axis=-1) <= HOLE).all()
    assert (after[HOLE] != np.asarray(before)[HOLE]).any(axis=-1).mean() > 0.9


def test_a_box_may_be_written_as_text(use: Use, tmp_path: Path) -> None:
    Picture.fromarray(noise(11, 13)).save(tmp_path / "x.png")
    for out, mask in (("a", "mask=[3,2,5,6]"), ("b", "mask='3,2,5,6'")):
        assert run(tmp_path / "x.png", mask, "n=1", f"out={tmp_path}/{out}") == 0
    assert (tmp_path / "a" / "x-1.png").read_bytes() == (tmp_path / "b" / "x-1.png").read_bytes()


def test_metadata_stay(use: Use, tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[270], exif[271] = "a cat", "a maker"
    exif.get_ifd(34665)[37386] = 50.0  # focal length
    profile = b"not a profile, but its bytes"
    for ending in ("png", "webp", "tif", "jpg"):
        options = {"exif": exif.tobytes(), "icc_profile": profile, "dpi": (300, 300)}
        colourful().save(tmp_path / f"{ending}.{ending}", **options)
        assert run(tmp_path / f"{ending}.{ending}", box(), "n=1") == 0
        (path,) = (tmp_path / "out").glob(f"{ending}-1.*")
        after = opened(path)
        assert after.info["icc_profile"] == profile
        assert after.getexif()[270] == "a cat" and after.getexif()[271] == "a maker"
        assert after.getexif().get_ifd(34665)[37386] == 50
        assert ending == "webp" or after.info["dpi"][0] == pytest.approx(300, rel=1e-3)


def test_a_jpeg_becomes_a_png_with_the_pixels_that_it_shows(use: Use, tmp_path: Path) -> None:
    before = saved(tmp_path / "x.jpg", colourful())
    assert run(tmp_path / "x.jpg", box(), "n=1") == 0
    after = opened(tmp_path / "out" / "x-1.png")
    assert (np.asarray(after)[~HOLE] == np.asarray(before)[~HOLE]).all()


def test_a_rotated_photograph_is_restored_upright(use: Use, tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[274] = 6  # turn by 90 degrees
    colourful().transpose(Picture.Transpose.ROTATE_90).save(tmp_path / "x.png", exif=exif)
    assert run(tmp_path / "x.png", box(), "n=1") == 0
    after = opened(tmp_path / "out" / "x-1.png")
    assert (np.asarray(after)[~HOLE] == np.asarray(colourful())[~HOLE]).all()
    assert 274 not in after.getexif()


@pytest.mark.parametrize("name", ["1", "L", "L-bmp", "L-pgm", "LA", "P", "P-gif", "P-clear", "RGB", "RGBA"])
def test_where_colours_were_lost_files_come_back_with_colours(name: str, use: Use, tmp_path: Path) -> None:
    picture, ending = pictures()[name]
    before = saved(tmp_path / f"x.{ending}", picture)
    use(make(3, Restoration({"grey": ColourLoss()})))
    assert run(tmp_path / f"x.{ending}", "mask=null", "n=1") == 0
    after = opened(tmp_path / "out" / f"x-1.{ending if ending == 'bmp' and name == 'RGB' else 'png'}")
    assert after.mode == ("RGBA" if name in ("LA", "RGBA", "P-clear") else "RGB") and after.size == SIZE
    found = np.asarray(after.convert("RGB")).astype(float)
    assert (np.ptp(found, axis=2).max() > 20) == (name != "1"), "only black and white have no colours"
    solid = np.asarray(before.convert("RGBA"))
    assert (np.asarray(after.convert("RGBA"))[..., 3] == solid[..., 3]).all()
    off = np.abs((found - solid[..., :3]) @ np.array(LUMA))
    assert off[solid[..., 3] > 0].max() <= 0.51, "another luma"


def test_a_grey_picture_in_colours_stays_grey(use: Use, tmp_path: Path) -> None:
    grey = np.repeat(noise(SIZE[1], SIZE[0], 1), 3, axis=2)
    grey[HOLE] = (255, 0, 0)
    Picture.fromarray(grey).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", box(), "n=1") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    assert (after == after[..., :1]).all()


class Spread(Pair):
    """Fills what is lost with the mean of what is seen, or if there is nothing, with whatever."""

    def restore(self, x: Tensor, mask: Tensor, n: int = 4, seed: int = 0) -> Sample:
        self.called = getattr(self, "called", 0) + 1
        seen = mask.sum(dim=(2, 3), keepdim=True)
        mean = torch.where(
            seen > 0, (x * mask).sum(dim=(2, 3), keepdim=True) / seen.clamp_min(1), torch.rand(1)
        )
        filled = torch.where(mask > 0, x, mean)[:, None].expand(-1, n, -1, -1, -1)
        return Sample(filled / 2, filled)


@pytest.mark.parametrize("side", [4, 20, 38])
def test_a_hole_larger_than_a_tile_is_filled_from_its_edges_inwards(
    side: int, use: Use, tmp_path: Path
) -> None:
    use(pair := make(kind=Spread))
    half = np.repeat([40, 200], 20)[None].repeat(40, 0).astype(np.uint8)
    Picture.fromarray(half).save(tmp_path / "x.png")
    lost = (40 - side) // 2
    assert run(tmp_path / "x.png", f"mask=[{lost},{lost},{side},{side}]", "n=2", "batch_size=100") == 0
    for name in ("x-1.png", "x-2.png"):
        after = np.asarray(opened(tmp_path / "out" / name)).astype(int)
        assert after.min() >= 40 and after.max() <= 200
        assert np.abs(after[:, :16] - 40).max() <= 60 and np.abs(after[:, 24:] - 200).max() <= 60
    assert pair.called == 1 if side == 4 else pair.called > 2, "small holes in one round"


class Shades(Pair):
    """Fills what is lost with grey of different lightness."""

    def restore(self, x: Tensor, mask: Tensor, n: int = 4, seed: int = 0) -> Sample:
        shades = torch.linspace(-1, 1, n)[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
        filled = torch.where(mask[:, None] > 0, x[:, None], shades.view(1, n, 1, 1, 1))
        return Sample(filled / 2, filled)


def test_completions_stand_in_the_order_of_their_evidence() -> None:
    pair = make(kind=Shades)
    source = Source(Path("x.png"), Picture.fromarray(noise(8, 8)), np.pad(np.ones((4, 4), bool), 2), 1)
    done = complete(pair, source, 6, 0, 64)
    assert (done.scores.diff() < 0).all()
    torch.manual_seed(1)
    exact = log_likelihood(pair.refiner, done.refined.flatten(0, 1), 4000).elbo
    assert (exact.diff() < 0).all()
    torch.testing.assert_close(done.scores, exact, atol=0.3, rtol=0)
    torch.testing.assert_close(done.scores.diff(), exact.diff(), atol=0.06, rtol=0)
    lost = done.exact[0, 0] == 0
    assert torch.equal(done.draft[..., lost], done.refined[..., lost] / 2), "drafts go with their refinements"


def test_the_same_seed_gives_the_same_files_and_another_seed_others(use: Use, tmp_path: Path) -> None:
    colourful().save(tmp_path / "x.png")
    found = []
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(found))
        assert run(tmp_path / "x.png", box(), f"seed={seed}", f"out={tmp_path}/{out}") == 0
        found.append({path.name: path.read_bytes() for path in (tmp_path / out).iterdir()})
    assert found[0] == found[1]
    assert found[0]["x-1.png"] != found[2]["x-1.png"]


def test_noise_is_taken_off_everywhere(use: Use, tmp_path: Path) -> None:
    before = saved(tmp_path / "x.png", colourful("RGBA"))
    use(make(1, DENOISING))
    assert run(tmp_path / "x.png", "mask=null", "n=1") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    assert (after != np.asarray(before))[..., :3].mean() > 0.9
    assert (after[..., 3] == np.asarray(before)[..., 3]).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_without_a_mask_there_is_nothing_but_noise(mode: str, use: Use, tmp_path: Path) -> None:
    use(make(1, DENOISING))
    saved(tmp_path / "x.png", colourful("RGB").convert(mode))
    results = []
    for mask in ([], ["mask=auto"], ["mask=null"], ["mask=[2,3,4,2]"]):
        assert run(tmp_path / "x.png", "n=1", *mask) == 0
        results.append(np.asarray(opened(tmp_path / "out" / "x-1.png")))
        shutil.rmtree(tmp_path / "out")
    unsaid, auto, null, hole = results
    assert (unsaid == auto).all() and (auto == null).all() and (hole != null).any()


def test_a_pair_that_never_saw_damage_restores_files_too(use: Use, tmp_path: Path) -> None:
    torch.manual_seed(0)
    use(Pair(parts.LinearGenerator(6, (1, 8, 8)), parts.LinearRefiner((1, 8, 8), 6), Pixels()))
    before = saved(tmp_path / "x.png", Picture.fromarray(noise(9, 9)))
    assert run(tmp_path / "x.png", "mask=[2,2,3,3]", "n=2") == 0
    after = np.asarray(opened(tmp_path / "out" / "x-1.png"))
    same = after == np.asarray(before)
    assert same.sum() >= 72 and not same[2:5, 2:5].all()


def test_the_sheet_shows_damage_draft_refinements_and_uncertainty(use: Use, tmp_path: Path) -> None:
    Picture.fromarray(noise(8, 8)).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=[2,2,4,4]", "n=4") == 0
    sheet = np.asarray(opened(tmp_path / "out" / "x-sheet.png"))[14:]
    panel, gap, factor = 60, 8, 4
    assert sheet.shape == (panel * factor, (7 * panel + 6 * gap) * factor, 3)
    cells = [
        sheet[2 * factor + 14 :: 7 * factor, k * (panel + gap) * factor + 2 * factor + 14 :: 7 * factor, 0]
        for k in range(7)
    ]
    damaged, draft, first, *others, apart = (cell[:8, :8] for cell in cells)
    hole = np.pad(np.ones((4, 4), bool), 2)
    assert (damaged[hole] == 128).all() or (damaged[hole] == 127).all()
    results = [np.asarray(opened(tmp_path / "out" / f"x-{i}.png")) for i in (1, 2, 3, 4)]
    for shown, result in zip([first, *others], results, strict=True):
        assert (shown == result).all()
    assert (draft[~hole] == first[~hole]).all() and (draft[hole] != first[hole]).any()
    assert (apart[~hole] == 0).all() and (apart[hole] > 0).any()


@pytest.mark.parametrize("size", [(3000, 60), (60, 3000), (700, 20), (9, 9)])
def test_a_sheet_is_no_larger_than_can_be_looked_at(size: tuple[int, int]) -> None:
    width, height = size
    source = Source(Path("x.png"), Picture.new("L", size), np.ones((height, width), bool), 1)
    done = Completed(*(torch.zeros(*n, 1, 1, height, width) for n in ((), (), (4,), (4,))), torch.zeros(4))
    shown = sheet(source, done, Image())
    assert max(shown.width, shown.height - 14) <= 6000
    assert max(size) > 10 or shown.height > 200, "small ones are enlarged"


def deep_png() -> bytes:
    """A PNG of 2x2 pixels in colour with 16 bits each."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress((b"\0" + bytes(range(12))) * 2)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def write_bad(name: str, folder: Path) -> Path:
    path = folder / ("x.gif" if name == "frames" else "x.tif" if name == "floats" else "x.png")
    first, second = Picture.fromarray(noise(11, 13)), Picture.fromarray(noise(11, 13)[::-1].copy())
    first.save(folder / "x.png")
    match name:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("<html>")
        case "cut":
            path.write_bytes(path.read_bytes()[:60])
        case "floats":
            Picture.fromarray(noise(11, 13).astype(np.float32)).save(path)
        case "deep":
            path.write_bytes(deep_png())
        case "cut tif":
            first.save(folder / "x.tif")
            path = folder / "x.tif"
            path.write_bytes(path.read_bytes()[:100])
        case "frames":
            first.save(path, save_all=True, append_images=[second])
        case "missing":
            return folder / "nowhere.png"
        case "folder":
            (folder / "none").mkdir()
            return folder / "none"
    return path


BAD = [
    ("empty", box(), 3, "empty file"),
    ("text", box(), 3, "not a picture"),
    ("cut", box(), 3, "x.png: image file is truncated"),
    ("cut tif", box(), 3, "x.tif: image file is truncated"),
    ("floats", box(), 3, "floating-point"),
    ("deep", box(), 3, "16 bits per colour"),
    ("frames", box(), 3, "more than one picture"),
    ("missing", box(), 3, "no such file"),
    ("folder", box(), 3, "no pictures"),
    ("fine", "mask={folder}/other.png", 3, "is 5x5, the picture 13x11"),
    ("fine", "mask={folder}/black.png", 3, "nothing is lost"),
    ("fine", "mask={folder}/white.png", 3, "everything is lost"),
    ("fine", "mask={folder}/note.png", 3, "mask: {folder}/note.png: not a picture"),
    ("fine", "mask={folder}/nowhere.png", 3, "mask: {folder}/nowhere.png: No such file"),
    ("fine", "mask=[9,0,5,5]", 3, "reaches beyond its 13x11 pixels"),
    ("fine", "mask=[0,0,13,11]", 3, "everything is lost"),
    ("fine", "mask=null", 3, "nothing is lost"),
    ("fine", "mask=auto", 3, "nothing is lost"),
    ("fine", "mask=[0,0,13]", 2, "left,top,width,height"),
    ("fine", "mask='3,3,0,1'", 2, "left,top,width,height"),
    ("fine", "mask=[1.5,0,3,3]", 2, "left,top,width,height"),
    ("fine", "mask=true", 2, "mask"),
    ("fine", "n=0", 2, "n: 0"),
    ("fine", "out={folder}/x.png", 5, "cannot be written"),
]


def test_colours_are_not_put_into_16_bits(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(make(3, Restoration({"grey": ColourLoss()})))
    Picture.fromarray(noise(11, 13, dtype=np.uint16)).save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", "mask=null") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "x.png: 16 bits of grey" in line


@pytest.mark.parametrize(("name", "word", "code", "says"), BAD)
def test_mistakes_are_one_line_with_their_own_code(
    name: str,
    word: str,
    code: int,
    says: str,
    use: Use,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Picture.fromarray(noise(5, 5)).save(tmp_path / "other.png")
    Picture.new("L", SIZE, "black").save(tmp_path / "black.png")
    Picture.new("L", SIZE, "white").save(tmp_path / "white.png")
    (tmp_path / "note.png").write_text("<html>")
    path = write_bad(name, tmp_path)
    words = [word.format(folder=tmp_path)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # would be more lines
        assert run(path, *([] if "mask" in word else [box()]), *words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says.format(folder=tmp_path) in line and line.count(str(path)) <= 1
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("error", [KeyError(262), TypeError("Missing"), ZeroDivisionError("0")])
def test_what_pillow_stumbles_over_is_one_line(
    error: Exception,
    use: Use,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As files with a few wrong bytes make it do."""

    def stumble(*_: Any) -> bytes:
        raise error

    picture = colourful()
    picture.getexif()[270] = "a cat"
    picture.save(tmp_path / "x.tif", exif=picture.getexif())
    monkeypatch.setattr(Picture.Exif, "tobytes", stumble)
    assert run(tmp_path / "x.tif", box()) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert f"x.tif: damaged ({type(error).__name__}: " in line


def test_nothing_is_overwritten(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        colourful().save(tmp_path / f"{name}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b-2.png").write_text("mine")
    (tmp_path / "out" / "unrelated").write_text("mine")
    assert run(tmp_path / "a.png", box()) == 0
    assert run(tmp_path / "b.png", box()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "b-2" in line
    assert (tmp_path / "out" / "b-2.png").read_text() == "mine"
    assert not list((tmp_path / "out").glob("b-1*"))


def test_a_folder_that_was_interrupted_goes_on(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    colourful().save(source / "a.png")
    assert run(source, box(), "n=1") == 0
    (out / "a-1.png").write_text("mine")
    colourful().save(source / "b.png")
    capsys.readouterr()
    assert run(source, box(), "n=1") == 0
    assert "1 of 2 files are restored already" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"a-1.png", "a-sheet.png", "b-1.png", "b-sheet.png"}
    assert (out / "a-1.png").read_text() == "mine"
    assert run(source, box(), "n=1") == run(source, box(), "n=2") == 2


def test_a_bad_file_does_not_stop_the_others(
    use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    for name in ("a.png", "c.bmp", "c.png", "below/d.png", ".hidden.png"):
        colourful().save(source / name)
    (source / "b.png").write_text("<html>")
    (source / "b0.png").touch()
    Picture.fromarray(noise(5, 5)).save(source / "b1.png")  # no room for the box
    (source / "b2.png").symlink_to("nowhere.png")
    (source / "note.txt").write_text("no picture")
    assert run(source, box(), "n=1", f"out={source}/out") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "4 of 8 files" in line and all(name in line for name in ("b.png", "b0.png", "b1.png", "b2.png"))
    names = {path.relative_to(source / "out").as_posix() for path in (source / "out").rglob("*.*")}
    expected = ("a-1.png", "c.bmp-1.bmp", "c.png-1.png", "below/d-1.png")
    sheets = ("a-sheet.png", "c.bmp-sheet.png", "c.png-sheet.png", "below/d-sheet.png")
    assert names == {*expected, *sheets}
    jobs = restore.plan(source, source / "out", PictureReader((1, 8, 8), None))
    assert len(jobs) == 8, "results are not taken for input"


def test_vectors_are_in_no_files(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(make(), Vector())
    colourful().save(tmp_path / "x.png")
    assert run(tmp_path / "x.png", box()) == 2
    assert "vectors" in capsys.readouterr().err
