"""Cooling down when the watched score stops improving."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer

from stable_diffusion_lab.adapt.plateau import Plateau
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import assemble
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.checkpoint_file import AtomicCheckpointIO
from stable_diffusion_lab.training.checkpoint_file import read as read_checkpoint
from stable_diffusion_lab.training.json_lines import JsonLines, read
from stable_diffusion_lab.training.monitor import Monitor
from stable_diffusion_lab.training.schedule import Schedule
from stable_diffusion_lab.training.system import System
from stable_diffusion_lab.training.terms import Terms
from tests.test_system import IMAGES, moved
from tests.test_system import system as adversarial

NAMES = {"draft/fd": False, "refined/fd": False, "refined/recall": True}


def watching(**values: Any) -> Plateau:
    adapt = Plateau({}, **{"patience": 2, "threshold": 0.1, **values})
    adapt.expect(NAMES)
    return adapt


def acted(adapt: Plateau, scores: list[float]) -> list[int]:
    """How often it had acted after each score."""
    counts = []
    for score in scores:
        adapt.observe(dict.fromkeys(NAMES, score))
        counts.append(adapt.acted)
    return counts


def test_acts_at_the_last_of_so_many_evaluations_without_improvement_and_not_before() -> None:
    #       best, same, best, same, too little: act, same, worse: act, best, same
    scores = [10.0, 9.1, 8.9, 8.9, 8.1, 8.9, 20.0, 8.0, 7.9]
    assert acted(watching(), scores) == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert acted(watching(patience=1), [1.0, 1.0, 1.0]) == [0, 1, 2]


def test_its_metric_says_which_way_is_up() -> None:
    rising = [0.1, 0.2, 0.4, 0.8]
    assert acted(watching(watch="refined/recall"), rising) == [0, 0, 0, 0]
    assert acted(watching(watch="refined/fd"), rising) == [0, 0, 1, 1]
    assert acted(watching(watch="refined/recall"), rising[::-1]) == [0, 0, 1, 1]


def test_scores_below_zero_improve_downwards() -> None:
    assert acted(watching(), [-1.0, -1.05, -1.2, -1.4, -1.3, -1.3]) == [0, 0, 0, 0, 0, 1]


def test_what_is_lowered_never_falls_below_its_share() -> None:
    adapt = watching(patience=1, rate=0.5, least=0.2)
    rates = []
    for score in [1.0, 1.0, 1.0, 1.0, 1.0]:
        acted(adapt, [score])
        rates.append(adapt.rate)
    assert rates == [1.0, 0.5, 0.25, 0.2, 0.2]


class Toy(torch.nn.Module):
    """Two attributes to be lowered, one below the other, and one that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.ModuleDict({"drift": torch.nn.Identity()})
        self.inner["drift"].temperatures = (0.2, 0.05)
        self.noise = 4.0
        self.iterations = 10


ACTIONS = {"noise": 0.5, "inner.drift.temperatures": 0.1}


def test_attributes_are_lowered_and_lowered_again_after_loading() -> None:
    toy, adapt = Toy(), watching(patience=1, actions=ACTIONS)
    adapt.attach(toy)
    assert (toy.noise, toy.inner["drift"].temperatures) == (4.0, (0.2, 0.05))
    acted(adapt, [1.0, 1.0, 1.0])
    assert toy.noise == 1.0
    assert toy.inner["drift"].temperatures == pytest.approx((0.2 * 0.01, 0.05 * 0.01))
    fresh, resumed = Toy(), watching(patience=1, actions=ACTIONS)
    resumed.attach(fresh)
    resumed.load_state_dict(adapt.state_dict())
    assert (fresh.noise, fresh.inner["drift"].temperatures) == (toy.noise, toy.inner["drift"].temperatures)
    assert acted(resumed, [1.0]) == acted(adapt, [1.0]) == [3]


@pytest.mark.parametrize(
    ("path", "near"),
    [("inner.drift.temperature", "inner.drift.temperatures"), ("iterations", ""), ("nois", "noise")],
)
def test_an_unknown_attribute_is_refused_with_the_nearest(path: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"adapt.actions: .*'{path}'; nearest: .*{near}"):
        watching(actions={path: 0.5}).attach(Toy())


def test_what_is_out_of_range_or_unknown_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adapt.watch: .* 'refined/fdd'; nearest: refined/fd"):
        watching(watch="refined/fdd")
    with pytest.raises(ConfigError, match=r"adapt.least: 2.0 is above 1"):
        watching(least=2.0)
    with pytest.raises(ConfigError, match=r"adapt.actions.inner.drift.temperatures: 3 is not allowed"):
        watching(actions={"inner": {"drift": {"temperatures": 3}}})


def test_the_command_line_names_attributes_of_the_system() -> None:
    words = ["adapt=plateau", "+adapt.actions.objectives.sinkhorn.temperature=0.5"]
    module = assemble(compose("train", words))
    first = module.objectives["sinkhorn"].temperature
    acted(module.adapt, [1.0] * 3)
    assert module.objectives["sinkhorn"].temperature == 0.5 * first
    words = ["adapt=plateau", "+adapt.actions.objective.sinkhorn.temperatur=0.5"]
    with pytest.raises(ConfigError, match=r"nearest: .*objectives.sinkhorn.temperature"):
        assemble(compose("train", words))


class Flat:
    """A judge for whom nothing ever changes."""

    def higher_is_better(self) -> dict[str, bool]:
        return NAMES

    def score(self, model: Any, split: str, rank: int, world: int) -> dict[str, float]:
        return dict.fromkeys(NAMES, 1.0)

    def log_likelihood(self, model: Any, split: str) -> dict[str, float]:
        return {}


class Trace(Callback):
    """The refiner's learning rate, and the noise of its objective, in each batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *rest: Any) -> None:
        (refiner,) = [it for it in trainer.optimizers[0].param_groups if it["player"] == "refiner"]
        self.seen.append((refiner["lr"], pl_module.refinement["evidence"].noise_scale))


ADAPT = {"rate": 0.5, "patience": 2, "actions": {"refinement": {"evidence": {"noise_scale": 0.5}}}}


def run(
    folder: Path, steps: int, start: Path | None = None, **options: Any
) -> tuple[System, list[tuple[float, float]]]:
    """A run of 24 batches up to one of them, or on from a checkpoint, that is judged after every third."""
    module = adversarial(Schedule(24, head_start=0.25, refiner_share=1, warmup=0, final_rate=1.0))
    module.adapt = Plateau({}, **ADAPT, **options)
    module.adapt.attach(module)
    trace, judge = Trace(), Flat()
    watchers: list[Any] = [Terms(1), Monitor(judge, 3), trace, Checkpoint(folder, every=5)]
    first = checkpoint_step(start)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=1,
        logger=JsonLines(folder / "metrics.jsonl", first),
        callbacks=watchers,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    batches = Batches(Split(IMAGES, None), batch_size=10, seed=0, steps=steps)
    batches.first = first
    trainer.fit(module, batches, ckpt_path=start)
    return module, trace.seen


def checkpoint_step(start: Path | None) -> int:
    return read_checkpoint(start)["batches_seen"] if start else 0


def test_a_run_acts_at_the_documented_evaluation_and_says_so(tmp_path: Path) -> None:
    """The generator learns from batch 6 on: scores after 9, 12, ... count, and the first is the best."""
    _, seen = run(tmp_path, 24)
    rate, noise = seen[0]
    assert seen == [(rate, noise)] * 15 + [(rate / 2, noise / 2)] * 6 + [(rate / 4, noise / 4)] * 3
    lines = read(tmp_path / "metrics.jsonl")
    logged = {line["step"]: line["adapt/rate"] for line in lines if "adapt/rate" in line}
    assert [logged[step] for step in (15, 16, 21, 22)] == [1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("cut", [14, 15, 17])
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path: Path, cut: int) -> None:
    """Cut at the evaluation that acts, and before and after, where there is an extra one at the end."""
    whole, seen = run(tmp_path / "whole", 24)
    _, before = run(tmp_path / "cut", cut)
    resumed, after = run(tmp_path / "cut", 24, latest(tmp_path / "cut"))
    assert before + after == seen
    assert resumed.adapt.get_extra_state() == whole.adapt.get_extra_state()
    assert not moved(resumed, whole)


def test_an_unknown_score_stops_a_run_before_its_first_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'refined/kd'; nearest: refined/fd"):
        run(tmp_path, 1, watch="refined/kd")
