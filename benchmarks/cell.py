"""One cell of a benchmark: a short run behind a refiner that all cells share, and what came of it.

Cells run one per fresh process, each on one thread, so that their peak memory is their own and as many
may run side by side as there are cores. Results are lines of JSON; a benchmark that is started again
does the cells that are missing.
"""

import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from common import Clock, silent_trainer
from omegaconf import DictConfig

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.judge import judge
from stable_diffusion_lab.command.train import assemble
from stable_diffusion_lab.command.trainer import quiet
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.error import LabError
from stable_diffusion_lab.training.system import System

PROBE, WARM = 24, 4
TOGETHER = ["schedule.head_start=0", "schedule.refiner_share=0", "refinement=none", "logger=none"]


@dataclass(frozen=True)
class Cell:
    """What to run.

    Attributes:
        name: the cell's key among the results, beside its seed.
        overrides: of ``conf/train.yaml``.
        seconds: of training on one thread, in processor time: neighbours on the machine take none of it.
        seed: of the run.
        refiner: file of the refiner that all cells share.
        split: what is scored: ``"validation"`` where something is chosen by it, else ``"test"``.
        labels: what the cell stands for, to be written beside its result.
    """

    name: str
    overrides: tuple[str, ...]
    seconds: float
    seed: int
    refiner: str
    split: str = "test"
    labels: dict[str, Any] = field(default_factory=dict)


def train_refiner(path: Path, overrides: Sequence[str], seed: int = 0) -> None:
    """Train a refiner by itself and keep it, unless the file is there."""
    if path.exists():
        return
    words = [
        *overrides,
        "objective=none",
        "schedule.head_start=1",
        "schedule.refiner_share=1",
        f"seed={seed}",
    ]
    config = compose("train", words)
    system = assemble(config)
    with quiet():
        fit(system, config, config.trainer.max_steps)
    torch.save(system.average.refiner.state_dict(), path)


def fit(system: System, config: DictConfig, steps: int) -> float:
    """Train; seconds per step."""
    clock = Clock(WARM, time.process_time)
    data = build(config.data)
    batches = Batches(data.train, config.batch_size, config.seed, steps, modality=data.modality)
    silent_trainer(steps, [clock]).fit(system, batches)
    return clock.per_step


def ready(cell: Cell, steps: int) -> tuple[System, DictConfig]:
    """The system of a cell, with the shared refiner at rest."""
    config = compose("train", [*cell.overrides, *TOGETHER, f"trainer.max_steps={steps}", f"seed={cell.seed}"])
    system = assemble(config)
    for model in (system.model, system.average):
        model.refiner.load_state_dict(torch.load(cell.refiner, weights_only=True))
    return system, config


def run(cell: Cell) -> dict[str, Any]:
    """Train for the cell's time, then score; called in a process of its own."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    result: dict[str, Any] = {"name": cell.name, "seed": cell.seed, "asked": asked(cell), **cell.labels}
    try:
        with quiet():
            steps = max(PROBE, int(cell.seconds / fit(*ready(cell, PROBE), PROBE)))
            system, config = ready(cell, steps)
            seconds = fit(system, config, steps) * steps
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            evaluator = judge(config, build(config.data), None, config.seed)
            scores = evaluator.score(system.average, cell.split)
    except LabError as error:
        return {**result, "failed": str(error)}
    return {**result, "steps": steps, "seconds": seconds, "peak_mib": memory, "scores": scores}


def asked(cell: Cell) -> dict[str, Any]:
    """What a result depends on, beside its seed and the code."""
    return {"overrides": list(cell.overrides), "seconds": cell.seconds, "split": cell.split}


def read(path: Path) -> list[dict[str, Any]]:
    """Results that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_all(cells: Sequence[Cell], path: Path, jobs: int) -> list[dict[str, Any]]:
    """Run the cells that ``path`` has no line for yet; the results of all these cells.

    Raises:
        SystemExit: if it has lines of cells of the same name with other settings.
    """
    done = read(path) if path.exists() else []
    known = {(result["name"], result["seed"]): result.get("asked") for result in done}
    if other := [
        cell.name for cell in cells if known.get((cell.name, cell.seed), asked(cell)) != asked(cell)
    ]:
        raise SystemExit(f"{path}: {other[0]} was run with other settings; choose another --out")
    missing = [cell for cell in cells if (cell.name, cell.seed) not in known]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cell"])  # each process starts with everything imported
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool, path.open("a") as file:
        waiting = [pool.submit(run, cell) for cell in missing]
        for count, future in enumerate(as_completed(waiting), 1):
            done.append(future.result())
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
            print(f"{count}/{len(missing)} {done[-1]['name']} seed {done[-1]['seed']}", flush=True)
    wanted = {(cell.name, cell.seed) for cell in cells}
    return [result for result in done if (result["name"], result["seed"]) in wanted]
