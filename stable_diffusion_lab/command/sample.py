"""``sdlab sample``: draw from a trained run."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from omegaconf import DictConfig
from torch import Tensor

from stable_diffusion_lab.batch import Observation, Sample
from stable_diffusion_lab.command.load import load, stored_config, stored_modality
from stable_diffusion_lab.error import ConfigError, DiskError
from stable_diffusion_lab.file.atomic import write_atomically
from stable_diffusion_lab.modality.base import Modality, captioned, png
from stable_diffusion_lab.model import Pair


def sample(config: DictConfig) -> None:
    """Draw drafts and refinements and write them to a file; its ending says how.

    Raises:
        ConfigError: if the ending is unknown, such samples cannot be written so, or the file, or something in
            the folder, is there already; if the run knows no such class, has no temperature, or restores.
        DataError: if no sample can begin with the prompt.
    """
    out = Path(config.out)
    if out.suffix not in WRITERS:
        known = "samples.npz, grid.png, samples.txt, or a folder"
        raise ConfigError("CFG-VALUE", f"out: '{config.out}' has no known ending; say {known}")
    run = Path(config.run)
    WRITERS[out.suffix].check(out, *no_samples(run))
    trained = load(run, config.device)
    if trained.model.task.observes:
        remedy = f"say sdlab restore run={config.run} input=<file>"
        raise ConfigError("CFG-RUN", f"{config.run} draws nothing by itself, it restores; {remedy}")
    if config.temperature is not None:
        trained.model.refiner.temper(config.temperature)
    given = None
    if config.prompt is not None:
        given = trained.modality.prompt(config.prompt, trained.model.refiner.shape[0])
    model, modality = trained.model, trained.modality
    drawn = draw(model, modality, config.n, config.seed, config.batch_size, config.label, given)
    WRITERS[out.suffix].write(out, drawn, modality)
    each = "x".join(map(str, drawn.refined.shape[1:]))
    print(
        f"{out}: {config.n} samples and their drafts, {each} each, from batch {trained.step} of {config.run}"
    )


def no_samples(run: Path) -> tuple[Tensor, Modality]:
    """None of a run's samples, as they are stored, ``[0, ...]``, and what they are; weights stay unread."""
    shape = tuple(stored_config(run).data.shape)
    modality = stored_modality(run)
    return torch.empty(0, *modality.stored_shape(shape)), modality


@torch.no_grad()
def draw(
    model: Pair,
    modality: Modality,
    n: int,
    seed: int,
    batch_size: int,
    label: int | None = None,
    known: Observation | None = None,
) -> Sample:
    """Samples ``[n, ...]`` as they are stored, on the CPU.

    They are those of ``Pair.generate``, whatever the batch size. Where something is ``known`` of one sample,
    all have it, drafts and refinements, and follow from it where the refiner writes one entry after another.
    """
    drafts, refined = [], []
    for noise in model.noises(n, seed, batch_size, label):
        part = noise.to(model.device)
        observed = known and known.rows(torch.zeros(len(part), dtype=torch.int64)).to(model.device)
        draft = model.draft(part, observed)
        drafts.append(modality.to_stored(draft).cpu())
        refined.append(modality.to_stored(model.refine(draft, observed, part)).cpu())
    return Sample(torch.cat(drafts), torch.cat(refined))


def write_npz(out: Path, drawn: Sample, modality: Modality) -> None:
    """Arrays ``samples`` and ``drafts``; as the modality gives them to others (see ``array`` of each)."""
    buffer = io.BytesIO()
    numpy.savez(buffer, samples=modality.array(drawn.refined), drafts=modality.array(drawn.draft))
    write_atomically(out, buffer.getbuffer())


def write_picture(out: Path, drawn: Sample, modality: Modality) -> None:
    """One picture: drafts on the left, their refinements on the right."""
    write_atomically(out, png(captioned(modality.picture(*drawn), drawn._fields)))


def write_text(out: Path, drawn: Sample, modality: Modality) -> None:
    """Refined samples, one a line."""
    write_atomically(out, "".join(f"{line}\n" for line in modality.lines(drawn.refined)).encode())


def write_folder(out: Path, drawn: Sample, modality: Modality) -> None:
    """``drafts/00000.png`` ... and ``samples/00000.png`` ..., in a folder that appears when all are there.

    The files are of the modality's own kind: PNG for images, WAV for recordings.

    Raises:
        DiskError: if it cannot be written.
    """
    folders = {"drafts": modality.files(drawn.draft), "samples": modality.files(drawn.refined)}
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, files in folders.items():
            (part / name).mkdir(parents=True)
            for index, data in enumerate(files):
                (part / name / f"{index:05d}{modality.suffix}").write_bytes(data)
        part.replace(out)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise DiskError("DISK-WRITE", f"{out}: cannot be written ({error.strerror})") from error


def anything(out: Path, nothing: Tensor, modality: Modality) -> None:
    """All samples can be written so.

    Raises:
        ConfigError: if the file is there already.
    """
    if out.exists():
        raise ConfigError("CFG-VALUE", f"out: {out} is there already; remove it or say out=<another file>")


def only_text(out: Path, nothing: Tensor, modality: Modality) -> None:
    """Raises:
    ConfigError: if samples are no text, or the file is there already.
    """
    anything(out, nothing, modality)
    modality.lines(nothing)


def empty_folder(out: Path, nothing: Tensor, modality: Modality) -> None:
    """Raises:
    ConfigError: if there is something in the folder already, for old and new files would mix; or if a sample
        by itself makes no file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("CFG-VALUE", f"out: {out} is not empty; choose another folder or remove it")
    modality.files(nothing)


class Writer(NamedTuple):
    """One way to write samples.

    Attributes:
        check: raises what speaks against it before anything is drawn, given no samples, ``[0, ...]``.
        write: does it.
    """

    check: Callable[[Path, Tensor, Modality], None]
    write: Callable[[Path, Sample, Modality], None]


WRITERS = {
    ".npz": Writer(anything, write_npz),
    ".png": Writer(anything, write_picture),
    ".txt": Writer(only_text, write_text),
    "": Writer(empty_folder, write_folder),
}
