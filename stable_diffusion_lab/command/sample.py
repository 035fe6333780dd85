"""``sdlab sample``: draw from a trained run."""

import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.error import ConfigError, DiskError
from stable_diffusion_lab.layer.image_range import to_image
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.atomic import write_atomically
from stable_diffusion_lab.training.gallery import beside, grid, png


def sample(config: DictConfig) -> None:
    """Draw drafts and refinements and write them to a file; its ending says how.

    Raises:
        ConfigError: if the ending is unknown.
    """
    out = Path(config.out)
    if out.suffix not in WRITERS:
        known = "samples.npz, grid.png, or a folder"
        raise ConfigError("CFG-VALUE", f"out: '{config.out}' has no known ending; say {known}")
    trained = load(Path(config.run), config.device)
    drawn = draw(trained.model, config.n, config.seed, config.batch_size)
    WRITERS[out.suffix](out, drawn)
    each = "x".join(map(str, drawn.refined.shape[1:]))
    print(
        f"{out}: {config.n} samples and their drafts, {each} each, from batch {trained.step} of {config.run}"
    )


@torch.no_grad()
def draw(model: Pair, n: int, seed: int, batch_size: int) -> Sample:
    """Images ``[n, C, H, W]`` uint8 on the CPU. The noise of ``Pair.generate``, whatever the batch size."""
    noise = torch.randn(n, model.generator.noise_dim, generator=torch.Generator().manual_seed(seed))
    drafts, refined = [], []
    for part in noise.split(batch_size):
        draft = model.draft(part.to(next(model.parameters()).device))
        drafts.append(to_image(draft).cpu())
        refined.append(to_image(model.refine(draft)).cpu())
    return Sample(torch.cat(drafts), torch.cat(refined))


def write_npz(out: Path, drawn: Sample) -> None:
    """Arrays ``samples`` and ``drafts``, uint8, N x H x W for grey images and N x H x W x C for others."""
    buffer = io.BytesIO()
    numpy.savez(buffer, samples=channels_last(drawn.refined), drafts=channels_last(drawn.draft))
    write_atomically(out, buffer.getbuffer())


def channels_last(images: Tensor) -> "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]":
    """``[N, C, H, W]`` to N x H x W x C, or N x H x W if there is one channel."""
    last = images.permute(0, 2, 3, 1)
    return (last.squeeze(3) if last.shape[3] == 1 else last).numpy()


def write_grid(out: Path, drawn: Sample) -> None:
    """One picture: drafts on the left, their refinements on the right."""
    columns = math.isqrt(len(drawn.draft) - 1) + 1
    write_atomically(out, png(beside(grid(drawn.draft, columns), grid(drawn.refined, columns))))


def write_folder(out: Path, drawn: Sample) -> None:
    """``drafts/00000.png`` ... and ``samples/00000.png`` ..., in a folder that appears when all are there.

    Raises:
        ConfigError: if there is something in the folder already: old and new images would mix.
        DiskError: if it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("CFG-VALUE", f"out: {out} is not empty; choose another folder or remove it")
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, images in (("drafts", drawn.draft), ("samples", drawn.refined)):
            (part / name).mkdir(parents=True)
            for index, image in enumerate(channels_last(images)):
                Image.fromarray(image).save(part / name / f"{index:05d}.png")
        part.replace(out)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise DiskError("DISK-WRITE", f"{out}: cannot be written ({error.strerror})") from error


WRITERS: dict[str, Callable[[Path, Sample], None]] = {
    ".npz": write_npz,
    ".png": write_grid,
    "": write_folder,
}
