"""``sdlab evaluate``: score a trained run."""

from pathlib import Path

from omegaconf import DictConfig

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.judge import judge, publish, scores
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.error import DataError


def evaluate(config: DictConfig) -> None:
    """Compare a run's samples with a split of its data; ``evaluation-<split>.json`` in the run folder."""
    run = Path(config.run)
    trained = load(run, config.device)
    data = build(trained.config.data)
    if data.modality.node() != trained.modality.node():
        message = f"{data.name}: its vocabulary is not that of {run}; put back the files it was made of"
        raise DataError("DATA-CHANGED", message)
    evaluator = judge(trained.config, data, config.n, config.seed)
    path = run / f"evaluation-{config.split}.json"
    publish(evaluator, scores(evaluator, trained.model, config.split, trained.step), path)
    print(f"written to {path}")
