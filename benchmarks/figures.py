"""Figures of finished runs, over their seeds, beside the rival without a network and a Gaussian in pixels.

    sdlab train -m experiment=mnist seed=0,1,2
    python benchmarks/figures.py runs/<date>/<time>-mnist ...

Prints one Markdown table: mean and standard deviation over the runs given, which must share a data set.
``mixture`` rows replace the learnt generator by the mixture it began from: EM on the latents of the very
same refiner.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import torch
from common import spread

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.judge import judge
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.generator.latent import Latent
from stable_diffusion_lab.training.evaluator import Evaluator

Rows = dict[str, dict[str, float]]


def training_seconds(run: Path) -> float:
    """Wall time between the first and the last number that training logged, validation included."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [line["time"] for line in lines if "time" in line]
    return times[-1] - times[0]


def pca_gaussian(evaluator: Evaluator, seed: int, rank: int = 100) -> dict[str, float]:
    """Draws of a Gaussian fitted to the first principal components of the training samples."""
    modality = evaluator.data.modality
    train = modality.to_sample(evaluator.data.stored("train")[:20_000]).flatten(1)
    rank = min(rank, train.shape[1])
    torch.manual_seed(seed)
    _, scale, directions = torch.pca_lowrank(train, rank, niter=3)
    noise = torch.randn(evaluator.count("test"), rank) * scale / len(train) ** 0.5
    samples = modality.to_stored((train.mean(0) + noise @ directions.T).unflatten(1, evaluator.data.shape))
    return evaluator.compare("test", evaluator.extractor.extract(samples, 500), samples)


def rows(run: Path) -> Rows:
    """Scores on the test split by row."""
    trained = load(run)
    found: Rows = json.loads((run / "test.json").read_text())["scores"]
    evaluator = judge(trained.config, build(trained.config.data), None, trained.config.seed)
    if isinstance(trained.model.generator, Latent):
        trained.model.generator = trained.model.generator.start
        for name, value in evaluator.score(trained.model, "test").items():
            stage, metric = name.split("/")
            found.setdefault(f"mixture, {stage}", {})[metric] = value
    found["PCA Gaussian"] = pca_gaussian(evaluator, trained.config.seed)
    found["training"] = {"seconds": training_seconds(run)}
    return found


def main(runs: list[Path]) -> None:
    """Print the table."""
    gathered: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for row, values in rows(run).items():
            for metric, value in values.items():
                gathered[row][metric].append(value)
    seconds = gathered.pop("training")["seconds"]
    metrics = list(gathered["draft"])
    print(f"{len(runs)} runs, {spread(seconds)} s of training each, validation included\n")
    print("| |" + "|".join(metrics) + "|\n|---|" + "---|" * len(metrics))
    for row, scores in gathered.items():
        print(f"| {row} |" + "|".join(spread(scores[metric]) for metric in metrics) + "|")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
