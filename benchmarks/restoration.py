"""How well runs restore, beside the damaged samples and beside repairs without learning.

    sdlab train -m experiment=restore_mnist seed=0,1,2
    python benchmarks/restoration.py runs/<date>/<time>-restore_mnist ...

Prints one Markdown table: mean and standard deviation over the runs given, which must share data and task, on
the first 1,000 samples of the test split, or on all of a smaller one. ``spread`` is the standard deviation
over four completions of the same sample where it was not known, in units of the range [-1, 1].
"""

import sys
from collections import defaultdict
from pathlib import Path

import torch
from classical import repaired, repairs
from common import spread
from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.judge import judge
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.evaluator import Evaluator

N = 1000
COMPLETIONS = 4

Rows = dict[str, dict[str, float]]


def scores(evaluator: Evaluator, pair: Pair, samples: Tensor, observed: Observation) -> dict[str, float]:
    """What the evaluator says of restored samples ``[N, ...]``."""
    stored = evaluator.data.modality.to_stored(samples)
    found = evaluator.compare("test", evaluator.extract(stored, pair), stored)
    return found | evaluator.closeness("test", stored, observed)


def variety(pair: Pair, observed: Observation, seed: int) -> dict[str, float]:
    """Standard deviation over completions, where something was not known."""
    drawn = [pair.generate(len(observed.sample), seed + i, observed=observed) for i in range(COMPLETIONS)]
    unknown = (1 - observed.exact).expand_as(observed.sample).bool()
    stages = {name: torch.stack([getattr(it, name) for it in drawn]) for name in ("draft", "refined")}
    return {name: x.std(dim=0)[unknown].mean().item() for name, x in stages.items()}


def rows(run: Path) -> Rows:
    """Scores on the test split by row."""
    trained = load(run)
    pair, seed = trained.model, trained.config.seed
    data = build(trained.config.data)
    evaluator = judge(trained.config, data, min(N, len(data.test.samples)), seed)
    found: Rows = {}
    for name, value in evaluator.score(pair, "test").items():
        stage, metric = name.split("/")
        found.setdefault(stage, {})[metric] = value
    observed = evaluator.maker.damaged(pair, "test")
    assert observed is not None, f"{run}: observes nothing"
    for name, repair in repairs(observed).items():
        found[name] = scores(evaluator, pair, repaired(observed, repair), observed)
    for stage, value in variety(pair, observed, seed).items():
        found[stage]["spread"] = value
    return found


def main(runs: list[Path]) -> None:
    """Print the table."""
    gathered: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for row, found in rows(run).items():
            for metric, value in found.items():
                gathered[row][metric].append(value)
    metrics = list(gathered["refined"])
    print(f"{len(runs)} runs, at most {N} samples of the test split\n")
    print("| |" + "|".join(metrics) + "|\n|---|" + "---|" * len(metrics))
    for row, values in gathered.items():
        print(f"| {row} |" + "|".join(spread(values[it]) if it in values else "" for it in metrics) + "|")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
