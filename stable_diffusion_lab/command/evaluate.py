"""``sdlab evaluate``: score a trained run."""

from pathlib import Path

from omegaconf import DictConfig

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.judge import judge, publish, scores
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.error import DataError


def evaluate(config: DictConfig) -> None:
    """Compare a run's samples with a split of its data; ``evaluation-<split>.json`` in the run folder.

    A number of samples or a seed that are not the run's own are in the file's name as well.
    """
    run = Path(config.run)
    trained = load(run, config.device)
    data = build(trained.config.data)
    if data.modality.node() != trained.modality.node():
        message = f"{data.name}: its vocabulary is not that of {run}; put back the files it was made of"
        raise DataError("DATA-CHANGED", message)
    seed = trained.config.seed if config.seed is None else config.seed
    evaluator = judge(trained.config, data, config.n, seed)
    own = {"n": config.n or "", "seed": "" if seed == trained.config.seed else seed}
    name = "-".join([config.split, *(f"{key}{value}" for key, value in own.items() if value != "")])
    path = run / f"evaluation-{name}.json"
    publish(evaluator, scores(evaluator, trained.model, config.split, trained.step), path)
    print(f"written to {path}")
