"""Scoring a pair, and showing the scores."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.file.atomic import write_atomically
from stable_diffusion_lab.file.cache import cache
from stable_diffusion_lab.measure.base import Measure
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.evaluator import Evaluator

MEASURED = 2**15  # most training samples that measures know


def judge(config: DictConfig, data: Data, n: int | None, seed: int) -> Evaluator:
    """The extractor and metrics of a run's config, ready to score.

    Args:
        config: of the run.
        data: what to compare with.
        n: number of generated samples; ``None`` for as many as a split has.
        seed: of the generated samples.
    """
    extractor = build(config.extractor)
    extractor.prepare(data, cache())
    metrics, fidelities = (
        {name: build(node) for name, node in group.items()} for group in (config.metric, config.fidelity)
    )
    measures: dict[str, Measure] = {name: build(node) for name, node in config.measure.items()}
    for measure in measures.values():  # of samples that overlap, one for each half tells all
        measure.prepare(data.modality, data.train.some(MEASURED, max(1, data.overlap // 2))[0])
    return Evaluator(data, extractor, metrics, n, seed, fidelities, measures)


def scores(evaluator: Evaluator, model: Pair, split: str, step: int) -> dict[str, Any]:
    """Everything about a pair that is worth a table: values by row and metric, and the counts behind them."""
    flat = evaluator.score(model, split)
    rows: dict[str, dict[str, float]] = {}
    for name, value in flat.items():
        stage, metric = name.split("/")
        rows.setdefault(stage, {})[metric] = value
    rows["reconstruction"] = evaluator.reconstruction(model, split)
    rows["floor"] = evaluator.floor(split)
    return {
        "split": split,
        "seed": evaluator.seed,
        "batches": step,
        "real": evaluator.data.count(split),
        "generated": evaluator.count(split),
        "extractor": type(evaluator.extractor).__name__,
        "scores": rows,
        "log_likelihood": evaluator.log_likelihood(model, split),
        "log_likelihood_of": model.refiner.explained,
    }


def publish(evaluator: Evaluator, found: dict[str, Any], path: Path) -> None:
    """Write scores to a file, and print them as one table and a line."""
    write_atomically(path, json.dumps(found, indent=2).encode())
    counts = f"{found['generated']} generated, {found['real']} real"
    print(f"{evaluator.data.name}, {found['split']} split, {found['batches']} batches; {counts}")
    Console().print(table(evaluator, found))
    bounds = ", ".join(f"{name} {value:.4g}" for name, value in found["log_likelihood"].items())
    which = f"log p({found['log_likelihood_of']})"
    print(f"bounds on {which} in nats per {evaluator.data.modality.entry}: {bounds}")


def table(evaluator: Evaluator, found: dict[str, Any]) -> Table:
    """A column for each of draft, refined, reconstruction (real images, refined) and floor (training images).

    Where the pair restores, one for damaged samples stands before them. The arrow of a metric shows which way
    is better. Metrics are rows, so that any number of them fits.
    """
    columns: dict[str, dict[str, float]] = found["scores"]
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    known = set().union(*columns.values())
    for metric, up in ((metric, up) for metric, up in evaluator.ways().items() if metric in known):
        values = (
            f"{round(column[metric], 9) + 0.0:.3g}" if metric in column else "" for column in columns.values()
        )
        shown.add_row(f"{metric}{'↑' if up else '↓'}", *values)
    return shown
