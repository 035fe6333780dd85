"""MNIST (LeCun et al. 1998)."""

from pathlib import Path

from torch import Tensor

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.idx import read_idx
from stable_diffusion_lab.error import DataError

FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


class MNIST(Data):
    """70,000 digits: the last 5,000 training images are validation, the 10,000 test images are test.

    Args:
        root: the folder that torchvision calls root; files lie in ``root/MNIST/raw``, compressed or not.
        name: short name for logs and folders.
        shape: ``(1, 28, 28)``.
        held_out: how many training images are validation.
        classes: of the labels: ten.

    Raises:
        DataError: if files are absent and cannot be downloaded, or damaged.
    """

    def __init__(
        self,
        root: str,
        name: str = "mnist",
        shape: tuple[int, ...] = (1, 28, 28),
        held_out: PositiveInt = 5000,
        classes: NonNegativeInt = 10,
    ) -> None:
        folder = Path(root) / "MNIST" / "raw"
        if any(_locate(folder, file) is None for file in FILES):
            _download(root)
        train, test = _read(folder, *FILES[:2]), _read(folder, *FILES[2:])
        parts = (slice(None, -held_out), slice(-held_out, None))
        learn, watch = (Split(*(tensor[part] for tensor in train)) for part in parts)
        super().__init__(name, shape, learn, watch, Split(*test), classes=classes)


def _locate(folder: Path, file: str) -> Path | None:
    candidates = (folder / file, folder / f"{file}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _download(root: str) -> None:
    """Let torchvision fetch the files. It is optional, and may be there but broken."""
    try:
        from torchvision import datasets

        datasets.MNIST(root, download=True)
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        message = (
            f"{root}: no MNIST files in MNIST/raw, and no download ({reason}); "
            "install torchvision and go online, or set SDLAB_DATA to a folder that has mnist/MNIST/raw"
        )
        raise DataError("DATA-MISSING", message) from error


def _read(folder: Path, image_file: str, label_file: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, 1, H, W]`` and labels ``[N]``."""
    images, labels = (read_idx(_locate(folder, file) or folder / file) for file in (image_file, label_file))
    if images.dim() != 3 or labels.dim() != 1 or len(images) != len(labels):
        found = f"{list(images.shape)} images, {list(labels.shape)} labels"
        raise DataError(
            "DATA-IDX", f"{folder / image_file}: {found} do not belong together; fetch them again"
        )
    return images[:, None], labels.long()
