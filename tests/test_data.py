"""Data sets: what is loaded, how it is split, and what is said about bad files."""

import gzip
import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from sklearn.datasets import load_digits

from stable_diffusion_lab.data.base import SOME, Data, Split
from stable_diffusion_lab.data.digits import Digits
from stable_diffusion_lab.data.idx import read_idx
from stable_diffusion_lab.data.image_folder import ImageFolder
from stable_diffusion_lab.data.image_table import ImageTable
from stable_diffusion_lab.data.mnist import MNIST
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.modality import image as modality
from stable_diffusion_lab.modality.vector import Vector
from stable_diffusion_lab.training.maker import Maker

RNG = np.random.default_rng(0)
FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, compressed: bool = False) -> dict[str, np.ndarray]:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    arrays = dict(
        zip(FILES, (noise(30, 28, 28), noise(30) % 10, noise(9, 28, 28), noise(9) % 10), strict=True)
    )
    for name, array in arrays.items():
        content = idx_bytes(array)
        path = folder / f"{name}-ubyte{'.gz' if compressed else ''}"
        path.write_bytes(gzip.compress(content) if compressed else content)
    return arrays


def write_images(folder: Path, count: int = 60) -> None:
    for i in range(count):
        Image.fromarray(noise(20 + i % 7, 24, 3)).save(folder / f"{i:03}.png")


def rows(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.samples}


def test_every_byte_survives_the_way_to_a_sample_and_back() -> None:
    images = torch.arange(256, dtype=torch.uint8)
    sample = modality.Image().to_sample(images)
    assert (sample.min(), sample.max()) == (-1, 1)
    assert torch.equal(modality.Image().to_stored(sample), images)
    assert modality.Image().to_stored(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_digits_are_scikit_learns_own_and_each_is_in_one_split() -> None:
    data, source = Digits(), load_digits()
    parts = data.splits.values()
    assert [len(part.samples) for part in parts] == [1078, 359, 360]
    found = sorted(
        (*image.flatten().tolist(), int(label)) for part in parts for image, label in zip(*part, strict=True)
    )
    pixels = np.round(source.data * 255 / 16).astype(int)
    assert found == sorted(
        (*row, label) for row, label in zip(pixels.tolist(), source.target.tolist(), strict=True)
    )


def test_digits_splits_have_the_same_share_of_each_class() -> None:
    shares = [
        part.labels.bincount() / len(part.labels)
        for part in Digits().splits.values()
        if part.labels is not None
    ]
    assert (torch.stack(shares).std(dim=0) < 0.002).all()


@pytest.mark.parametrize(
    ("total", "limit", "apart", "count"), [(11, 10, 1, 10), (10, 20, 1, 10), (100, 9, 12, 8)]
)
def test_some_are_as_many_as_may_be_and_evenly_spaced(total: int, limit: int, apart: int, count: int) -> None:
    split = Split(torch.arange(total), torch.arange(total) * 2)
    samples, labels = split.some(limit, apart)
    assert labels is not None and torch.equal(labels, samples * 2) and len(samples) == count
    steps = samples.diff()
    assert samples[0] == 0 and steps.max() - steps.min() <= 1 and steps.min() >= apart
    assert total - samples[-1] <= steps.min() + 1  # the end is no farther than the next would be


def test_a_few_of_many_are_taken_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    many = torch.arange(SOME + 9000)[:, None].float()
    splits = [Split(many[:total], None) for total in (len(many), SOME, 7)]
    monkeypatch.setattr(Data, "modality", Vector())
    data = Data("many", (1,), *splits)
    stored = {split: data.stored(split) for split in data.splits}
    monkeypatch.setattr(Split, "some", None)
    maker = Maker(data, None, seed=0)
    for split, samples in stored.items():
        rows = torch.tensor([0, 5, len(samples) - 1, len(samples)])
        assert maker.count(split) == len(samples)
        assert torch.equal(maker.originals(split, rows), samples[rows % len(samples)])


def test_fingerprint_follows_the_content() -> None:
    images, labels = torch.from_numpy(noise(4, 1, 8, 8)), torch.arange(4)
    split = Split(images, labels)
    other = Split(images.flip(0), labels)
    assert (
        Data("a", (1, 8, 8), split, split, split).fingerprint
        == Data("b", (1, 8, 8), split, split, split).fingerprint
    )
    assert (
        Data("a", (1, 8, 8), split, split, split).fingerprint
        != Data("a", (1, 8, 8), other, split, split).fingerprint
    )
    assert Digits().fingerprint == Digits().fingerprint


@pytest.mark.parametrize(
    ("images", "tag"),
    [
        (torch.zeros(0, 1, 8, 8, dtype=torch.uint8), "DATA-EMPTY"),
        (torch.zeros(3, 1, 9, 8, dtype=torch.uint8), "DATA-SHAPE"),
        (torch.full((3, 1, 8, 8), 7, dtype=torch.uint8), "DATA-RANGE"),
    ],
)
def test_splits_that_cannot_be_right_are_refused(images: torch.Tensor, tag: str) -> None:
    split = Split(images, None)
    with pytest.raises(DataError) as caught:
        Data("a", (1, 8, 8), split, split, split)
    assert caught.value.tag == tag


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_reads_idx_files_and_holds_out_the_last(tmp_path: Path, compressed: bool) -> None:
    arrays = write_mnist(tmp_path, compressed)
    data = MNIST(str(tmp_path), held_out=10)
    assert np.array_equal(data.train.samples[:, 0], arrays["train-images-idx3"][:20])
    assert np.array_equal(data.validation.samples[:, 0], arrays["train-images-idx3"][20:])
    assert np.array_equal(data.test.samples[:, 0], arrays["t10k-images-idx3"])
    assert data.validation.labels is not None
    assert np.array_equal(data.validation.labels, arrays["train-labels-idx1"][20:])


def test_mnist_proper() -> None:
    if "SDLAB_DATA" not in os.environ:
        pytest.skip("SDLAB_DATA is not set: no MNIST here")
    data = MNIST(f"{os.environ['SDLAB_DATA']}/mnist")
    assert [len(part.samples) for part in data.splits.values()] == [55_000, 5_000, 10_000]
    labels = torch.cat([part.labels for part in (data.train, data.validation) if part.labels is not None])
    assert labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_absent_mnist_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match="install torchvision and go online, or set SDLAB_DATA") as caught:
        MNIST(str(tmp_path))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


GOOD_IDX = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))
BAD_IDX = {
    "empty": b"",
    "html": b"<!DOCTYPE html>",
    "float": GOOD_IDX[:2] + b"\x0d" + GOOD_IDX[3:],
    "short-header": GOOD_IDX[:9],
    "short": GOOD_IDX[:-1],
    "long": GOOD_IDX + b"x",
    "huge": GOOD_IDX[:4] + b"\xff" * 8,
    "bad.gz": gzip.compress(GOOD_IDX)[:-9],
    "text.gz": b"hello",
}


@pytest.mark.parametrize("name", BAD_IDX)
def test_bad_idx_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD_IDX[name])
    with pytest.raises(DataError, match=name) as caught:
        read_idx(path)
    assert caught.value.exit_code == 3


def test_good_idx_file(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(GOOD_IDX)
    assert torch.equal(read_idx(tmp_path / "good"), torch.arange(12, dtype=torch.uint8).view(3, 4))


def test_folder_splits_stay_when_files_are_added(tmp_path: Path) -> None:
    write_images(tmp_path)
    before = ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    (tmp_path / "more").mkdir()
    write_images(tmp_path / "more")
    (tmp_path / ".hidden.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    after = ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    assert sum(len(part.samples) for part in after.splits.values()) == 120
    for name, part in before.splits.items():
        assert rows(part) < rows(after.splits[name])
        assert part.labels is None


def test_an_image_is_in_the_same_split_on_every_machine(tmp_path: Path) -> None:
    write_images(tmp_path)
    parts = {}
    for path in sorted(tmp_path.iterdir()):
        image = torch.from_numpy(np.array(Image.open(path).resize((8, 8)))).permute(2, 0, 1)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
        parts[image.numpy().tobytes()] = path.stem
    data = ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    assert sorted(parts[row] for row in rows(data.validation)) == ["002", "032", "034", "055"]
    assert sorted(parts[row] for row in rows(data.test)) == ["013", "020", "029", "037", "040"]


def test_folder_images_are_cropped_to_the_middle(tmp_path: Path) -> None:
    write_images(tmp_path)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = (255, 0, 100)
    for path in tmp_path.iterdir():
        Image.fromarray(wide).save(path)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "000.png")
    data = ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    flat = torch.tensor([255, 0, 100], dtype=torch.uint8).view(3, 1, 1).expand(3, 8, 8)
    assert sum((image == flat).all().item() for part in data.splits.values() for image in part.samples) == 59


def one_image(folder: Path, image: Image.Image, channels: int, suffix: str = "png") -> torch.Tensor:
    """What becomes of an image: the only one of its kind among others, so found by its file's split."""
    write_images(folder)
    for path in folder.iterdir():
        image.save(path.with_suffix(f".{suffix}"))
        if suffix != "png":
            path.unlink()
    Image.fromarray(noise(8, 8, 3)).save(folder / "z.png")
    Image.fromarray(noise(8, 8, 3)).save(folder / "y.png")
    data = ImageFolder(str(folder), (channels, 8, 8), size=8, channels=channels)
    return data.validation.samples.flatten(2).float().mean(dim=2).round().median(dim=0).values


@pytest.mark.parametrize(
    ("image", "channels", "expected"),
    [
        (Image.new("RGBA", (9, 9), (0, 0, 0, 0)), 3, [255, 255, 255]),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), 3, [255, 204, 204]),
        (Image.new("LA", (9, 9), (0, 51)), 1, [204]),
        (Image.new("1", (9, 9), 1), 3, [255, 255, 255]),
        (Image.fromarray(np.full((9, 9), 257 * 90, np.uint16)), 1, [90]),
        (Image.fromarray(np.full((9, 9), 65535, np.uint16)), 3, [255, 255, 255]),
        (Image.new("L", (9, 9), 33), 3, [33, 33, 33]),
    ],
    ids=["transparent", "translucent", "grey-alpha", "one-bit", "sixteen-bit", "sixteen-bit-white", "grey"],
)
def test_odd_modes_become_plain_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image.Image, channels: int, expected: list[int]
) -> None:
    monkeypatch.setattr(Data, "_check", lambda *_: None)  # images here are constant on purpose
    assert one_image(tmp_path, image, channels).tolist() == expected


def truncated(path: Path) -> None:
    Image.fromarray(noise(40, 40, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.png": (truncated, "truncated"),
    "cut.jpg": (truncated, "truncated"),
    "empty.png": (Path.touch, "empty file"),
    "page.png": (lambda path: path.write_text("<!DOCTYPE html>"), "not a picture that is known here"),
    "random.webp": (lambda path: path.write_bytes(bytes(noise(100))), "not a picture that is known here"),
    "link.png": (lambda path: path.symlink_to("/nowhere/at/all.png"), "No such file"),
    "folder.png": (Path.mkdir, ""),
    "bomb.png": (lambda path: Image.new("1", (6000, 6000)).save(path), "36 Mpx, limit 25 Mpx"),
    "float.tif": (lambda path: Image.new("F", (9, 9)).save(path), "floating-point"),
    "deep.tif": (lambda path: Image.new("I", (9, 9), 70_000).save(path), "more than 16 bits"),
    "postscript.png": (
        lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "not a picture that is known here",
    ),
}


@pytest.mark.parametrize("name", [name for name in BAD_IMAGES if name != "folder.png"])
def test_bad_images_are_named(tmp_path: Path, name: str) -> None:
    write_images(tmp_path)
    make, reason = BAD_IMAGES[name]
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"1 of 61 .*{name}: .*{reason}") as caught:
        ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    assert caught.value.exit_code == 3


def test_all_bad_images_are_named_in_one_line(tmp_path: Path) -> None:
    write_images(tmp_path)
    for name, (make, _) in BAD_IMAGES.items():
        make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in BAD_IMAGES if name != "folder.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_and_folders_are_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "000.png").chmod(0)
    with pytest.raises(DataError, match=r"000\.png: Permission denied"):
        ImageFolder(str(tmp_path), (3, 8, 8), size=8)
    (tmp_path / "private").mkdir(mode=0)
    with pytest.raises(DataError, match="private: Permission denied"):
        ImageFolder(str(tmp_path), (3, 8, 8), size=8)


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: No such file or directory; set data\.path"):
        ImageFolder(str(tmp_path / "nowhere"), (3, 8, 8), size=8)
    with pytest.raises(DataError, match="no images"):
        ImageFolder(str(tmp_path), (3, 8, 8), size=8)


def test_two_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.channels: 2; choose from \[1, 3\]"):
        ImageFolder(str(tmp_path), (2, 8, 8), size=8, channels=2)


@pytest.mark.parametrize("choice", [None, "classifier"])
def test_a_folder_of_images_brings_the_extractor_without_labels(choice: str | None) -> None:
    conf = Path(__file__).parent.parent / "conf"
    overrides = ["data=image_folder", "data.path=somewhere", "data.size=16"]
    overrides += [f"extractor={choice}"] if choice else []
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("train", overrides)
    expected = (
        f"extractor.{choice}.Classifier" if choice else "extractor.random_convolution.RandomConvolution"
    )
    assert config.extractor._target_ == f"stable_diffusion_lab.{expected}"
    assert config.extractor.shape == [3, 16, 16]


def test_no_data_set_imports_torchvision() -> None:
    code = (
        "import sys, stable_diffusion_lab.data.mnist, stable_diffusion_lab.data.image_folder, "
        "stable_diffusion_lab.data.digits; sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0


def write_table(
    folder: Path, part: str, images: np.ndarray, labels: list[int], damage: int | None = None
) -> Path:
    """A Parquet file with images as PNG, one of them damaged."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    records = []
    for row, pixels in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        records.append({"bytes": b"no image" if row == damage else buffer.getvalue(), "path": f"{row}.png"})
    file = folder / f"{part}-00000-of-00001.parquet"
    parquet.write_table(pyarrow.table({"img": records, "label": labels}), file)
    return file


def test_tables_give_every_image_with_its_label(tmp_path: Path) -> None:
    pixels = noise(12, 6, 5, 3)
    write_table(tmp_path, "train", pixels[:9], list(range(9)))
    write_table(tmp_path, "test", pixels[9:], [0, 1, 2])
    data = ImageTable(str(tmp_path), (3, 6, 5), held_out=2, classes=9)
    assert [len(split.samples) for split in data.splits.values()] == [7, 2, 3]
    for split in (data.train, data.validation):
        for image, label in zip(split.samples, split.labels, strict=True):
            assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels[label])
    again = ImageTable(str(tmp_path), (3, 6, 5), held_out=2, classes=9)
    assert again.fingerprint == data.fingerprint


def test_tables_name_what_is_wrong_with_them(tmp_path: Path) -> None:
    def load(**facts: Any) -> ImageTable:
        return ImageTable(str(tmp_path), **{"shape": (3, 6, 5), "held_out": 2, "classes": 9, **facts})

    with pytest.raises(DataError, match=r"no train-\*.parquet"):
        load()
    write_table(tmp_path, "test", noise(3, 6, 5, 3), [0, 1, 2])
    file = write_table(tmp_path, "train", noise(5, 6, 5, 3), [0] * 5, damage=3)
    with pytest.raises(DataError, match=r"train-.*row 3 holds no image"):
        load()
    write_table(tmp_path, "train", noise(5, 6, 5, 3), [0] * 5)
    with pytest.raises(DataError, match=r"row 0 is \[3, 6, 5\], data.shape is \[3, 8, 8\]"):
        load(shape=(3, 8, 8))
    with pytest.raises(DataError, match="picture"):
        load(image="picture")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="fetch it again"):
        load()
