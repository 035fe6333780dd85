"""Damages: what each promises of what is left, against closed forms and other libraries."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.task.damage import jpeg
from stable_diffusion_lab.task.damage.additive_noise import AdditiveNoise
from stable_diffusion_lab.task.damage.band_limit import BandLimit
from stable_diffusion_lab.task.damage.base import Damage
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.blur import Blur
from stable_diffusion_lab.task.damage.centre_box import CentreBox
from stable_diffusion_lab.task.damage.clipping import Clipping
from stable_diffusion_lab.task.damage.colour_loss import ColourLoss
from stable_diffusion_lab.task.damage.downsampling import Downsampling
from stable_diffusion_lab.task.damage.dropped_segments import DroppedSegments
from stable_diffusion_lab.task.damage.gaussian_noise import GaussianNoise
from stable_diffusion_lab.task.damage.hum import Hum
from stable_diffusion_lab.task.damage.jpeg import JPEG
from stable_diffusion_lab.task.damage.outpainting import Outpainting
from stable_diffusion_lab.task.damage.quantisation import Quantisation
from stable_diffusion_lab.task.damage.random_boxes import RandomBoxes
from stable_diffusion_lab.task.damage.random_pixels import RandomPixels
from stable_diffusion_lab.task.damage.recorded_noise import RecordedNoise, recordings
from stable_diffusion_lab.task.damage.shot_noise import ShotNoise
from stable_diffusion_lab.task.damage.strokes import covered
from stable_diffusion_lab.task.restoration import Restoration

CPU = torch.device("cpu")
RATE = 8000
SHAPES = {1: (1, 512), 2: (3, 28, 28)}
DAMAGES = [name for name in parts.members("damage") if name != "none"]
MASKS = [
    "centre_box",
    "outpainting",
    "random_boxes",
    "random_pixels",
    "strokes",
    "strokes_thick",
    "strokes_thin",
]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=rng(7)) * 2 - 1


def whole(sample: Tensor) -> Observation:
    everything = sample.new_ones(len(sample), 1, *sample.shape[2:])
    return Observation(sample, everything, everything)


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings at two rates, one of them in stereo."""
    soundfile = pytest.importorskip("soundfile", reason="needs the extra: audio")
    folder = tmp_path_factory.mktemp("noises")
    wave = np.random.default_rng(0).normal(size=(6000, 2)) * 0.1
    soundfile.write(folder / "b.wav", wave, RATE, subtype="FLOAT")
    (folder / "below").mkdir()
    soundfile.write(folder / "below" / "a.WAV", wave[:, 0], 2 * RATE, subtype="FLOAT", format="WAV")
    return folder


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Callable[[str], Damage]:
    """Damages by the names of their YAML files."""

    def make(name: str) -> Damage:
        overrides = ["data=mnist", "+data.rate=8000", "task=restoration", f"damage={name}"]
        if "path: ???" in (parts.CONF / "damage" / f"{name}.yaml").read_text():
            overrides.append(f"damage.{name}.path={request.getfixturevalue('noises')}")
        (node,) = compose("train", overrides).damage.values()
        damage: Damage = build(node)
        return damage

    return make


@pytest.mark.parametrize("directions", SHAPES)
@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_keeps_its_word(name: str, directions: int, made: Callable[[str], Damage]) -> None:
    damage = made(name)
    clean = samples(12, *SHAPES[directions])
    if directions not in damage.directions or (name == "outpainting" and directions == 1):
        with pytest.raises(ConfigError, match="choose another damage") as caught:
            damage(whole(clean), rng())
        assert caught.value.tag == "CFG-FIT" and "\n" not in str(caught.value)
        return
    everything = whole(clean)
    before = clean.clone()
    observed = damage(everything, rng())
    assert torch.equal(clean, before) and everything.seen.all(), "changed what it was given"
    assert observed.sample.shape == clean.shape and observed.sample.isfinite().all()
    for mask in (observed.seen, observed.exact):
        assert mask.shape == everything.seen.shape and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert (observed.exact <= observed.seen).all(), "exact without being seen"
    known = observed.exact.bool().expand_as(clean)
    assert torch.equal(observed.sample[known], clean[known])
    assert not observed.sample[~observed.seen.bool().expand_as(clean)].any(), "hidden values are not 0"
    if damage.keeps:
        assert torch.equal(observed.seen, observed.exact)
    damaged = (observed.sample != clean).flatten(1).any(dim=1)
    assert damaged.all(), "some samples were not damaged"
    again = damage(everything, rng())
    assert all(torch.equal(a, b) for a, b in zip(observed, again, strict=True)), "not a function of its seed"
    part = CentreBox(0.5)(everything, rng())
    later = damage(part._replace(exact=torch.zeros_like(part.exact)), rng(1))
    assert not later.exact.any(), "claims to know what an earlier damage has spoilt"
    assert (later.seen <= part.seen).all(), "sees what an earlier damage has hidden"
    assert not later.sample[~later.seen.bool().expand_as(clean)].any(), "fills what was hidden before"


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_has_a_gradient(name: str, made: Callable[[str], Damage]) -> None:
    damage = made(name)
    clean = samples(4, *SHAPES[max(damage.directions)])
    clean[0] = -1  # black, and very loud
    clean[1] = 0  # grey, and silent
    clean.requires_grad_()
    damage(whole(clean), rng()).sample.square().sum().backward()
    assert clean.grad is not None and clean.grad.isfinite().all() and clean.grad.any()


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_do_not_depend_on_half_precision_around_them(
    name: str, made: Callable[[str], Damage]
) -> None:
    damage = made(name)
    clean = samples(3, *SHAPES[max(damage.directions)])
    task = Restoration({name: damage})
    expected = task.observe(clean, rng())
    with torch.autocast("cpu", torch.bfloat16):
        found = task.observe(clean, rng())
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_work_where_the_samples_are(name: str, made: Callable[[str], Damage]) -> None:
    damage = made(name)
    clean = samples(3, *SHAPES[max(damage.directions)]).to("meta")  # refuses to be mixed with the CPU
    observed = damage(whole(clean), rng())
    assert {part.device.type for part in observed} == {"meta"}
    assert {part.dtype for part in observed} == {torch.float32}
    assert damage.project(clean, observed).shape == clean.shape


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"thinnest: 0.5 is above thickest: 0.25"):
        Between(0.5, 0.25, ("thinnest", "thickest"))


def test_bounds_are_reached_and_not_passed() -> None:
    drawn = Between(2, 4).whole(rng(), 1000)
    assert drawn.unique().tolist() == [2, 3, 4]
    real = Between(-1.0, 3.0).draw(rng(), 1000)
    assert -1 <= real.min() < -0.9 and 2.9 < real.max() <= 3


# Masks


@pytest.mark.parametrize("size", [(28, 28), (24, 60), (96, 96)])
@pytest.mark.parametrize("name", MASKS)
def test_masks_hide_neither_nothing_nor_too_much(
    name: str, size: tuple[int, int], made: Callable[[str], Any]
) -> None:
    share = made(name).hidden(200, size, rng(), CPU).float().mean(dim=(1, 2))
    assert share.min() >= 0.05 and share.max() <= 0.65
    assert 0.1 < share.mean() < 0.5


@pytest.mark.parametrize("name", ["strokes", "strokes_thick", "strokes_thin"])
def test_strokes_hide_the_share_that_they_are_asked_for(name: str, made: Callable[[str], Any]) -> None:
    strokes = made(name)
    share = strokes.hidden(500, (40, 40), rng(), CPU).float().mean(dim=(1, 2))
    assert share.max() <= strokes.share.highest
    assert (share >= strokes.share.lowest - 0.05).float().mean() > 0.98, "strokes do not suffice"
    assert share.max() - share.min() > 0.7 * (strokes.share.highest - strokes.share.lowest)


def test_the_box_hides_the_middle_and_nothing_else() -> None:
    hidden = CentreBox(0.5).hidden(2, (8, 6), rng(), CPU)
    assert hidden.sum() == 2 * 4 * 3
    assert hidden[:, 2:6, 1:4].all() or hidden[:, 2:6, 2:5].all()


def test_a_random_box_is_a_box_anywhere() -> None:
    hidden = RandomBoxes(1, 1, 0.25, 0.5).hidden(2000, (12, 20), rng(), CPU)
    rows, columns = hidden.any(dim=2), hidden.any(dim=1)
    assert torch.equal(hidden, rows[:, :, None] & columns[:, None]), "more than one box, or none"
    for side, shortest, longest in ((rows, 3, 6), (columns, 5, 10)):
        assert (side.sum(dim=1).min(), side.sum(dim=1).max()) == (shortest, longest)
        assert (side[:, 1:] & ~side[:, :-1]).sum(dim=1).max() <= 1, "in pieces"
        assert side.any(dim=0).all(), "never at the edges"


def test_random_boxes_are_as_many_as_were_drawn() -> None:
    from scipy.ndimage import label

    hidden = RandomBoxes(1, 3, 0.05, 0.05).hidden(300, (60, 60), rng(), CPU)
    found = [label(mask)[1] for mask in hidden.numpy()]
    assert set(found) == {1, 2, 3}


def test_segments_hide_the_share_that_was_drawn_in_as_many_pieces() -> None:
    hidden = DroppedSegments(3, 3, 0.3, 0.3).hidden(2000, (100,), rng(), CPU)
    assert (hidden.sum(dim=1) == 30).all(), "they overlap"
    starts = hidden[:, 1:] & ~hidden[:, :-1]
    assert (starts.sum(dim=1) + hidden[:, 0]).max() == 3
    often = hidden.float().mean(dim=0)
    assert often[0] > 0.02 and often[-1] > 0.02 and often[[0, -1]].diff().abs() < 0.02, (
        "not the same both ways"
    )
    assert (DroppedSegments(1, 4, 0.9, 1.0).hidden(50, (7,), rng(), CPU).sum(dim=1) >= 4).all()


def test_pixels_are_hidden_independently() -> None:
    hidden = RandomPixels(0.3, 0.3).hidden(50, (64, 64), rng(), CPU).float()
    assert hidden.mean().item() == pytest.approx(0.3, abs=0.005)
    neighbours = (hidden[:, 1:] * hidden[:, :-1]).mean()
    assert neighbours.item() == pytest.approx(0.09, abs=0.005)


def test_outpainting_leaves_a_window_or_a_side() -> None:
    around = Outpainting(["top", "bottom", "left", "right"], 0.1, 0.2).hidden(300, (20, 40), rng(), CPU)
    assert not around[:, 4:-4, 8:-8].any()
    assert around[:, :2].all() and around[:, -2:].all() and around[:, :, :4].all() and around[:, :, -4:].all()
    right = Outpainting(["right"], 0.5, 0.5).hidden(2, (4, 8), rng(), CPU)
    assert right[:, :, 4:].all() and not right[:, :, :4].any()
    later = Outpainting(["right"], 0.25, 0.25).hidden(2, (8,), rng(), CPU)
    assert later[:, 6:].all() and not later[:, :6].any()


@pytest.mark.parametrize(
    ("edges", "highest", "message"),
    [
        (["up"], 0.2, r"\['up'\]; choose from"),
        ([], 0.2, "choose from"),
        (["left", "right"], 0.5, "leaves nothing"),
        (["left", "top"], 1.0, "leaves nothing"),
    ],
)
def test_outpainting_refuses_what_leaves_nothing(edges: Any, highest: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outpainting(edges, 0.1, highest)


def test_a_stroke_covers_what_is_near_its_line() -> None:
    piece = torch.tensor([[5.0, 4.0, 9.0, 17.0, 2.5], [8.0, 8.0, 8.0, 8.0, 3.0]])
    found = covered(piece, (16, 24))
    for a, b, radius, mask in zip(piece[:, :2], piece[:, 2:4], piece[:, 4], found, strict=True):
        on_line = a + torch.linspace(0, 1, 5000)[:, None] * (b - a)
        centres = torch.cartesian_prod(torch.arange(16) + 0.5, torch.arange(24) + 0.5)
        distance = torch.cdist(centres, on_line).amin(dim=1).view(16, 24)
        clear = (distance - radius).abs() > 1e-2
        assert torch.equal(mask[clear], (distance <= radius)[clear])


def test_strokes_turn_no_more_than_they_may_and_stay_inside(made: Callable[[str], Any]) -> None:
    strokes = made("strokes")
    pieces = strokes.pieces(500, (300, 400), rng()).view(500, strokes.strokes, strokes.corners, 5)
    a, b, radius = pieces.split([2, 2, 1], dim=3)
    assert (a >= 0).all() and (b >= 0).all() and (torch.maximum(a, b) <= torch.tensor([300, 400])).all()
    unit = math.sqrt(300 * 400)
    assert (
        radius.min() >= unit * strokes.width.lowest / 2 and radius.max() <= unit * strokes.width.highest / 2
    )
    assert torch.equal(radius[:, :, :1].expand_as(radius), radius), "a stroke has one width"
    assert torch.equal(b[:, :, :-1], a[:, :, 1:]), "a stroke is one line"
    step = b - a
    length = step.norm(dim=3)
    assert length.max() <= unit * strokes.length.highest * 1.0001
    inner = ((a > 0.3 * unit) & (a < torch.tensor([300, 400]) - 0.3 * unit)).all(dim=3)
    inner = (
        inner[:, :, :-1]
        & inner[:, :, 1:]
        & (length[:, :, :-1] < 0.3 * unit)
        & (length[:, :, 1:] < 0.3 * unit)
    )
    cosine = (step[:, :, :-1] * step[:, :, 1:]).sum(dim=3) / length[:, :, :-1] / length[:, :, 1:]
    assert inner.sum() > 20 and cosine[inner].min() >= math.cos(1.5) - 1e-3


# Images


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    clean = torch.zeros(200, 1, 32, 32)
    noisy = GaussianNoise(0.3, 0.3)(whole(clean), rng()).sample
    assert noisy.std().item() == pytest.approx(0.3, rel=0.01)
    between = GaussianNoise(0.2, 0.6)(whole(clean), rng()).sample.flatten(1).std(dim=1)
    assert 0.18 < between.min() < 0.25 and 0.55 < between.max() < 0.62


@pytest.mark.parametrize("value", [-1.0, -0.8, 0.0, 1.0])
def test_shot_noise_has_mean_and_variance_of_counts(value: float) -> None:
    clean = torch.full((100, 1, 64, 64), value)
    counts = (ShotNoise(20.0, 20.0)(whole(clean), rng()).sample + 1) / 2 * 20
    expected = (value + 1) / 2 * 20
    assert counts.mean().item() == pytest.approx(expected, abs=0.03)
    assert counts.var().item() == pytest.approx(expected, rel=0.02, abs=1e-6)


def test_blur_is_that_of_scipy() -> None:
    clean = samples(2, 3, 20, 26)
    found = Blur(1.7, 1.7)(whole(clean), rng()).sample
    expected = scipy.ndimage.gaussian_filter(clean.numpy(), (0, 0, 1.7, 1.7), mode="nearest", truncate=4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_sample_has_a_blur_of_its_own() -> None:
    point = torch.zeros(6, 1, 41, 41)
    point[:, :, 20, 20] = 1
    found = Blur(1.0, 3.0)(whole(point), rng()).sample[:, 0]
    at = torch.arange(41) - 20.0
    sigma = (found.sum(dim=1) * at.square()).sum(dim=1).sqrt()
    torch.testing.assert_close(sigma, Between(1.0, 3.0).draw(rng(), 6), rtol=5e-3, atol=0)


@pytest.mark.parametrize("factor", [2, 4])
def test_downsampling_is_pillows_box_filter(factor: int) -> None:
    clean = samples(1, 1, 16, 24)
    found = Downsampling(factor)(whole(clean), rng()).sample[0, 0]
    small = Image.fromarray(clean[0, 0].numpy()).resize((24 // factor, 16 // factor), Image.Resampling.BOX)
    expected = small.resize((24, 16), Image.Resampling.NEAREST)
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-6)


def test_squares_at_the_edges_become_the_mean_of_what_is_there() -> None:
    clean = samples(2, 3, 5, 8)
    found = Downsampling(3)(whole(clean), rng()).sample
    for rows, columns in ((slice(0, 3), slice(3, 6)), (slice(3, 5), slice(6, 8)), (slice(3, 5), slice(0, 3))):
        square = clean[:, :, rows, columns].mean(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(found[:, :, rows, columns], square.expand_as(found[:, :, rows, columns]))


def test_grey_is_pillows() -> None:
    stored = torch.randint(256, (1, 3, 16, 24), generator=rng())
    found = ColourLoss()(whole(stored / 127.5 - 1), rng()).sample[0]
    expected = Image.fromarray(stored[0].permute(1, 2, 0).byte().numpy()).convert("L")
    assert torch.equal(found[:1].expand_as(found), found)
    np.testing.assert_allclose((found[0] + 1) * 127.5, np.asarray(expected), atol=1.01)


@pytest.mark.parametrize(
    "damage", [Downsampling(2), Downsampling(4), ColourLoss()], ids=["half", "quarter", "grey"]
)
def test_what_is_left_by_a_projection_is_put_into_samples(damage: Damage) -> None:
    clean, other = samples(4, 3, 16, 16), samples(4, 3, 16, 16).flip(0)
    task = Restoration({"only": damage})
    observed = task.observe(clean, rng())
    completed = task.complete(other, observed)
    torch.testing.assert_close(damage(whole(completed), rng()).sample, observed.sample, atol=1e-5, rtol=0)
    torch.testing.assert_close(task.complete(clean, observed), clean, atol=1e-5, rtol=0)
    assert (completed - clean).abs().max() > 0.1, "knows more than was seen"
    settled = task.settle(4 * other, observed)
    assert (4 * other).abs().max() > 3 and settled.abs().max() <= 1
    torch.testing.assert_close(damage(whole(settled), rng()).sample, observed.sample, atol=1e-4, rtol=0)
    noise = GaussianNoise(0.5, 0.5)
    for two in ({"noise": noise, "only": damage}, {"only": damage, "noise": noise}):
        noisy = Restoration(two)
        assert torch.equal(noisy.complete(other, noisy.observe(clean, rng())), other), "trusts what is noisy"


def photographs(n: int, channels: int, height: int, width: int) -> Tensor:
    """Smooth bytes with some edges ``[n, C, H, W]``."""
    noise = np.random.default_rng(0).normal(size=(n, channels, height, width))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 0, 3, 3)) * 900 + 128
    smooth[:, :, :, width // 2 :] = 255 - smooth[:, :, :, width // 2 :]
    return torch.from_numpy(smooth.round().clip(0, 255)).float()


def pillows(stored: Tensor, quality: int, **how: Any) -> np.ndarray:
    """A picture ``[C, H, W]`` through Pillow's encoder and decoder."""
    file = io.BytesIO()
    channels_last = stored.permute(1, 2, 0).byte().numpy().squeeze()
    Image.fromarray(channels_last).save(file, "JPEG", quality=quality, **how)
    return np.asarray(Image.open(file)).reshape(*stored.shape[1:], -1).transpose(2, 0, 1).astype(float)


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95, 100])
@pytest.mark.parametrize("size", [(28, 28), (32, 45)])
def test_grey_jpeg_is_pillows(quality: int, size: tuple[int, int]) -> None:
    stored = photographs(3, 1, *size)
    found = (JPEG(quality, quality)(whole(stored / 127.5 - 1), rng()).sample + 1) * 127.5
    for one, ours in zip(stored, found.numpy(), strict=True):
        difference = np.abs(ours - pillows(one, quality))
        # Its integer transforms round a coefficient otherwise in a block here and there.
        assert np.median(difference) < 0.01 and difference.mean() < 0.5


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_coloured_jpeg_is_nearly_pillows(quality: int) -> None:
    stored = photographs(3, 3, 48, 80)
    found = (JPEG(quality, quality)(whole(stored / 127.5 - 1), rng()).sample + 1) * 127.5
    for one, ours in zip(stored, found.numpy(), strict=True):
        theirs = pillows(one, quality, subsampling="4:2:0")
        loss = np.abs(theirs - one.numpy()).mean()
        assert np.abs(ours - theirs).mean() < 0.2 * loss


@pytest.mark.parametrize("quality", [1, 5, 49, 50, 51, 90, 100])
def test_quantisation_tables_are_those_that_pillow_writes(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    written: dict[int, list[int]] = Image.open(file).quantization  # type: ignore[attr-defined]
    for number, table in enumerate((jpeg.LUMINANCE, jpeg.CHROMINANCE)):
        assert jpeg.scaled(torch.tensor(table), torch.tensor([quality])).flatten().tolist() == written[number]


# Waveforms


def decibel(signal: Tensor, rest: Tensor) -> Tensor:
    powers = [x.square().flatten(1).mean(dim=1) for x in (signal, rest)]
    return 10 * (powers[0] / powers[1]).log10()


def test_noises_have_the_ratio_that_was_asked_for(noises: Path) -> None:
    clean = samples(8, 2, 4000) * torch.logspace(-3, 0, 8)[:, None, None]
    recorded = RecordedNoise(str(noises), RATE, 7.5, 7.5)
    for damage in (AdditiveNoise(7.5, 7.5), Hum(RATE, 50.0, 4, 7.5, 7.5), recorded):
        noisy = damage(whole(clean), rng()).sample
        torch.testing.assert_close(decibel(clean, noisy - clean), torch.full((8,), 7.5), atol=1e-3, rtol=0)
        silence = torch.zeros(2, 1, 4000)
        assert not damage(whole(silence), rng()).sample.any()
    spread = decibel(clean, AdditiveNoise(0.0, 20.0)(whole(clean), rng()).sample - clean)
    assert spread.min() < 5 and spread.max() > 15


def test_recorded_noise_is_a_piece_of_the_recordings(noises: Path) -> None:
    damage = RecordedNoise(str(noises), RATE, 0.0, 0.0)
    tape = recordings(str(noises), RATE)
    assert len(tape) == 6000 + 3000, "the second recording has twice the rate"
    clean = samples(20, 2, 500)
    noise = damage(whole(clean), rng()).sample - clean
    torch.testing.assert_close(noise[:, 0], noise[:, 1], atol=1e-5, rtol=0)
    twice = torch.cat([tape, tape])
    pieces = torch.nn.functional.normalize(twice.unfold(0, 500, 1)[:9000], dim=1)
    found = torch.nn.functional.normalize(noise[:, 0], dim=1) @ pieces.T
    assert found.amax(dim=1).min() > 0.999
    assert len(found.argmax(dim=1).unique()) > 10


def test_a_folder_without_usable_recordings_is_refused(tmp_path: Path, noises: Path) -> None:
    import soundfile

    damage = RecordedNoise(str(tmp_path), RATE, 0.0, 1.0)
    clean = whole(samples(2, 1, 100))
    with pytest.raises(DataError, match="no WAV files"):
        damage(clean, rng())
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    with pytest.raises(DataError, match=r"silent.wav: silent"):
        damage(clean, rng())
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"a.wav: Format not recognised; remove or replace it") as caught:
        damage(clean, rng())
    assert "\n" not in str(caught.value)


def test_what_is_left_of_a_user_s_recording_is_known_without_the_noises(tmp_path: Path) -> None:
    task = Restoration({"noise": RecordedNoise(str(tmp_path / "gone"), RATE, 0.0, 1.0)})
    sample = whole(samples(2, 1, 100))
    observed = task.describe(*sample[:2])
    assert torch.equal(observed.sample, sample.sample) and not observed.exact.any()
    assert torch.equal(task.complete(sample.sample / 2, observed), sample.sample / 2)


def test_without_soundfile_one_line_says_what_to_install(
    noises: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(ConfigError, match=r"lab\[audio\]"):
        RecordedNoise(str(noises), RATE + 1, 0.0, 1.0)(whole(samples(2, 1, 100)), rng())


def test_hum_has_the_mains_frequency_and_its_harmonics() -> None:
    clean = torch.zeros(1, 1, RATE)
    clean[..., 0] = 1.0
    tone = Hum(RATE, 60.0, 3, 0.0, 0.0)(whole(clean), rng()).sample - clean
    spectrum = torch.fft.rfft(tone[0, 0]).abs()  # a second: bins are Hz
    peaks = spectrum.topk(3).indices
    assert peaks.tolist() == [60, 120, 180]
    torch.testing.assert_close(
        spectrum[peaks] / spectrum[60], torch.tensor([1, 1 / 2, 1 / 3]), atol=1e-3, rtol=0
    )
    assert spectrum.sort().values[:-3].max() < 1e-3 * spectrum.max()
    assert Hum(200, 50.0, 8, 0.0, 0.0).orders.tolist() == [1], "harmonics that would fold back"
    with pytest.raises(ConfigError, match="half the rate"):
        Hum(100, 50.0, 1, 0.0, 0.0)


def test_a_band_limit_keeps_what_is_below_and_removes_what_is_above() -> None:
    at = torch.arange(500) / 500
    low, high = torch.cos(2 * math.pi * 40 * at), torch.sin(2 * math.pi * 60 * at)
    found = BandLimit(0.2, 0.2)(whole((1 + low + high)[None, None]), rng()).sample[0, 0]
    torch.testing.assert_close(found, 1 + low, atol=1e-4, rtol=0)


@pytest.mark.parametrize("bits", [1, 4, 16])
def test_few_bits_make_few_values(bits: int) -> None:
    clean = torch.linspace(-1, 1, 4001).expand(3, 1, -1)
    found = Quantisation(bits, bits)(whole(clean), rng()).sample
    step = 2.0 ** (1 - bits)
    assert len(found.unique()) <= 2**bits and found.min() == -1 and found.max() == 1 - step
    inside = clean <= 1 - step
    assert (found - clean)[inside].abs().max() <= step / 2 + 1e-6
    stored = (clean * 2 ** (bits - 1)).round()
    assert torch.equal((found * 2 ** (bits - 1))[inside], stored[inside])


def test_clipping_knows_exactly_what_it_has_not_cut_off() -> None:
    clean = samples(5, 2, 300)
    observed = Clipping(0.5, 0.5)(whole(clean), rng())
    limit = clean.abs().amax(dim=(1, 2), keepdim=True) / 2
    torch.testing.assert_close(observed.sample, clean.clamp(-limit, limit))
    assert observed.seen.all()
    assert torch.equal(observed.exact.bool(), (clean.abs() <= limit).all(dim=1, keepdim=True))
    task = Restoration({"clipping": Clipping(0.5, 0.5)})
    completed = task.complete(torch.zeros_like(clean), task.observe(clean, rng()))
    known = observed.exact.bool().expand_as(clean)
    assert torch.equal(completed[known], clean[known]) and not completed[~known].any()
    described = task.describe(*observed[:2])
    assert torch.equal(described.exact, observed.exact), "can be told from the sample alone"
    noisy = Restoration({"clipping": Clipping(0.5, 0.5), "noise": AdditiveNoise(9.0, 9.0)})
    assert not noisy.describe(*observed[:2]).exact.any()


# Misfits


@pytest.mark.parametrize(
    ("damage", "shape"),
    [
        (ColourLoss(), (1, 8, 8)),
        (Downsampling(9), (1, 8, 12)),
        (JPEG(50, 50), (2, 8, 8)),
        (DroppedSegments(1, 9, 0.1, 0.1), (1, 8)),
        (CentreBox(0.5), (6,)),
    ],
    ids=["grey", "small", "two channels", "short", "vectors"],
)
def test_samples_that_do_not_fit_are_refused_in_one_line(damage: Damage, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="choose another damage") as caught:
        damage(whole(samples(2, *shape)), rng())
    assert str(list(shape)) in str(caught.value) and "\n" not in str(caught.value)


def test_jpeg_has_no_quality_above_100() -> None:
    with pytest.raises(ConfigError, match="1 to 100"):
        JPEG(5, 101)


def test_tables_of_jpeg_that_an_evaluation_made_serve_training() -> None:
    jpeg.constants.cache_clear()
    with torch.inference_mode():
        JPEG(10, 90).distort(torch.zeros(1, 3, 16, 16), torch.Generator())
    x = torch.zeros(1, 3, 16, 16, requires_grad=True)
    JPEG(10, 90).distort(x, torch.Generator()).sum().backward()
    assert x.grad is not None and jpeg.constants.cache_info().misses == 1


def test_coding_and_loss_of_colour_send_nothing_to_the_device() -> None:
    """But for what they keep there, which is made once."""
    x, table = torch.zeros(2, 3, 16, 16, device="meta"), torch.zeros(2, 8, 8, device="meta")
    jpeg.constants(x.device)
    with parts.NothingSent():
        assert jpeg.coded(x, table).shape == x.shape
        assert ColourLoss().keep(x).shape == x.shape
