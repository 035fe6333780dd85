"""``sdlab restore``: complete damaged files with a trained run."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from stable_diffusion_lab.command.complete import Completed, complete
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.command.sheet import sheet
from stable_diffusion_lab.error import ConfigError, DataError, listed
from stable_diffusion_lab.file.atomic import write_atomically
from stable_diffusion_lab.file.base import Opened, Reader
from stable_diffusion_lab.file.folder import find
from stable_diffusion_lab.modality.base import Modality, png


class Job(NamedTuple):
    """One file, and what the names of its results begin with."""

    path: Path
    target: Path


def restore(config: DictConfig) -> None:
    """Write ``n`` completions of each file, the most probable first, and a sheet that compares them.

    Raises:
        ConfigError: if the mask or the run does not fit, or of a file some results are there, or of all files
            all; files with all their results are left out.
        DataError: if a file could not be restored; the others have been.
    """
    trained = load(Path(config.run), config.device)
    settings: Any = OmegaConf.to_container(config)
    reader = trained.modality.reader(trained.model.refiner.shape, settings["mask"])
    jobs = plan(Path(config.input), Path(config.out), reader)
    left = unfinished(jobs, config.n)
    if len(left) < len(jobs):
        before = f"{len(jobs) - len(left)} of {len(jobs)} files are restored already"
        print(f"{config.out}: {before}, left as they are")
    problems: list[DataError] = []
    for job in left:
        try:
            opened = reader.open(job.path)
            if trained.model.task.merges:
                opened = opened.parted()
            done = complete(trained.model, opened, config.n, config.seed, config.batch_size)
        except DataError as error:
            problems.append(error)
            continue
        print(write(job, opened, done, trained.modality), flush=True)
    if problems:
        raise together(problems, len(left))


def together(problems: list[DataError], tried: int) -> DataError:
    """One error of what went wrong with some of the files that were tried."""
    if tried == 1:
        return problems[0]
    named = listed([error.args[0] for error in problems])
    return DataError("DATA-FILE", f"{len(problems)} of {tried} files not restored: {named}")


def plan(source: Path, out: Path, reader: Reader) -> list[Job]:
    """The files to restore, in order of their names. Hidden files and those below ``out`` are left out.

    Raises:
        DataError: if there are none.
    """
    if not source.exists():
        raise DataError("DATA-MISSING", f"{source}: no such file or folder; set input")
    if not source.is_dir():
        return [Job(source, out / source.stem)]
    files = sorted(map(Path, find(source, reader.suffixes, "input", out)))
    if not files:
        endings = " ".join(sorted(reader.suffixes))
        raise DataError("DATA-EMPTY", f"{source}: no {reader.noun}; they end in {endings}")
    alike = Counter(file.with_suffix("") for file in files)
    names = [file if alike[file.with_suffix("")] > 1 else file.with_suffix("") for file in files]
    return [Job(source / file, out / name) for file, name in zip(files, names, strict=True)]


def unfinished(jobs: list[Job], n: int) -> list[Job]:
    """Those of which no result is there, under whatever ending; before any work is done.

    Raises:
        ConfigError: if of one some results are there and not all, or of all jobs all.
    """
    parents = {job.target.parent for job in jobs}
    there = {path.with_suffix("") for parent in parents if parent.is_dir() for path in parent.iterdir()}
    left = []
    for job in jobs:
        wanted = [job.target.with_name(f"{job.target.name}-{name}") for name in (*range(1, n + 1), "sheet")]
        found = [path for path in wanted if path in there]
        if found and (found != wanted or len(jobs) == 1):
            raise taken(found[0], "remove it or ")
        if not found:
            left.append(job)
    if not left:
        raise taken(jobs[0].target.with_name(f"{jobs[0].target.name}-1"))
    return left


def taken(path: Path, remedy: str = "") -> ConfigError:
    """Says that a result is there already."""
    return ConfigError("CFG-VALUE", f"out: {path} is there already; {remedy}choose another folder")


def write(job: Job, opened: Opened, done: Completed, modality: Modality) -> str:
    """Write the results of one file.

    Returns:
        A line that says what was done.
    """

    def put(name: str, data: bytes) -> None:
        write_atomically(job.target.with_name(f"{job.target.name}-{name}"), data)

    for rank, refined in enumerate(done.refined, start=1):
        put(f"{rank}{opened.suffix}", opened.encode(refined, done.exact))
    put("sheet.png", png(sheet(opened, done, modality)))
    share = (done.exact == 0).float().mean().item()
    scores = " ".join(f"{score:.3g}" for score in done.scores.tolist())
    first = f"{job.target}-1{opened.suffix}"
    return f"{job.path} -> {first} ...: {share:.1%} restored, ELBO per {modality.entry} {scores}"
