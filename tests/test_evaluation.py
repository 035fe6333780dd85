"""Scores of a pair: functions of seed, weights and data, in one process or several."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tiny import Batches, System, trainer
from torch import Tensor, distributed, multiprocessing, nn

from stable_diffusion_lab import ranks
from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.digits import Digits
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError, DataError, NonFiniteError
from stable_diffusion_lab.extractor.random_convolution import RandomConvolution
from stable_diffusion_lab.fidelity.psnr import PSNR
from stable_diffusion_lab.fidelity.si_sdr import SISDR
from stable_diffusion_lab.generator import mlp as generator_mlp
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.metric.density_coverage import DensityCoverage
from stable_diffusion_lab.metric.frechet import Frechet
from stable_diffusion_lab.metric.kernel import Kernel
from stable_diffusion_lab.metric.precision_recall import PrecisionRecall
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner import mlp as refiner_mlp
from stable_diffusion_lab.refiner.base import Refiner
from stable_diffusion_lab.task.damage.centre_box import CentreBox
from stable_diffusion_lab.task.restoration import Restoration
from stable_diffusion_lab.training.evaluator import Evaluator
from stable_diffusion_lab.training.monitor import Monitor

BROKEN = "error[METRIC-N]: broken"
METRICS = {"frechet": Frechet(), "kernel": Kernel(), "precision_recall": PrecisionRecall(3)}
METRICS |= {"density_coverage": DensityCoverage(5)}
NAMES = {"fd", "kd", "precision", "recall", "density", "coverage"}


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def evaluator(data: Data, n: int | None = None, seed: int = 0, feature_dim: int = 16) -> Evaluator:
    extractor = RandomConvolution(data.shape, feature_dim=feature_dim)
    extractor.prepare(data, Path())
    return Evaluator(data, extractor, METRICS, n, seed)


def pair() -> Pair:
    torch.manual_seed(0)
    return Pair(generator_mlp.MLP(4, 16, (1, 8, 8)), refiner_mlp.MLP((1, 8, 8), 4, 16, 0.3), Pixels())


class Playback(Generator):
    """Drafts the images of a split, whichever the noise."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(1, images.shape[1:])
        self.images = Image().to_sample(images)
        self.shown = 0

    def forward(self, noise: Tensor) -> Tensor:
        self.shown += len(noise)
        return self.images[self.shown - len(noise) : self.shown]


class Identity(Refiner):
    """Refines nothing; its parameter says where it lives."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, math.prod(shape), 1.0)
        self.place = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(x.flatten(1), torch.zeros_like(x.flatten(1)))

    def decode(self, h: Tensor) -> Tensor:
        return h.view(len(h), *self.shape)


def test_a_pair_that_plays_the_data_back_is_perfect(digits: Digits) -> None:
    model = Pair(Playback(digits.test.samples), Identity((1, 8, 8)), Pixels())
    values = evaluator(digits).score(model, "test")
    for stage in ("draft", "refined"):
        assert values[f"{stage}/fd"] == pytest.approx(0, abs=1e-6)
        assert [values[f"{stage}/{name}"] for name in ("precision", "recall", "density", "coverage")] == [
            1
        ] * 4
    assert evaluator(digits).reconstruction(model, "test")["fd"] == pytest.approx(0, abs=1e-6)


def test_a_pair_that_plays_training_images_back_scores_the_floor(digits: Digits) -> None:
    judge = evaluator(digits, n=len(digits.train.samples))
    model = Pair(Playback(digits.train.samples), Identity((1, 8, 8)), Pixels())
    score, floor = judge.score(model, "test"), judge.floor("test")
    assert {name: score[f"draft/{name}"] for name in floor} == pytest.approx(floor, rel=1e-6)


def test_the_floor_is_low_and_takes_as_many_samples_as_are_generated(digits: Digits) -> None:
    judge = evaluator(digits)
    assert judge.count("test") == 360
    assert evaluator(digits, n=50).count("test") == 50
    assert judge.floor("test")["fd"] < 0.1 * judge.score(pair(), "test")["draft/fd"]
    assert judge.floor("test") == judge.floor("test") != evaluator(digits, seed=1).floor("test")


def test_refinement_is_measured_apart_from_the_draft(digits: Digits) -> None:
    class Restore(Identity):
        """Whatever comes in, real images go out."""

        def forward(self, x: Tensor) -> Tensor:
            return Image().to_sample(digits.test.samples)[: len(x)]

    values = evaluator(digits).score(
        Pair(generator_mlp.MLP(4, 8, (1, 8, 8)), Restore((1, 8, 8)), Pixels()), "test"
    )
    assert values.keys() == {f"{stage}/{name}" for stage in ("draft", "refined") for name in NAMES}
    assert values.keys() == evaluator(digits).higher_is_better().keys()
    assert values["refined/fd"] == pytest.approx(0, abs=1e-6)
    assert values["draft/fd"] > 1


def test_scores_are_a_function_of_seed_and_weights(digits: Digits) -> None:
    model, judge = pair(), evaluator(digits)
    first = judge.score(model, "validation")
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert judge.score(model, "validation") == first
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluator(digits).score(model, "validation") == first
    assert evaluator(digits, seed=1).score(model, "validation") != first


def test_each_module_is_left_in_the_mode_it_was_in(digits: Digits) -> None:
    model = pair()
    seen = []
    model.train()
    model.refiner.eval()
    model.generator.register_forward_hook(lambda module, *_: seen.append(module.training))
    judge = evaluator(digits)
    judge.score(model, "test")
    judge.reconstruction(model, "test")
    assert seen == [False]
    assert (model.training, model.generator.training, model.refiner.training) == (True, True, False)


def test_a_sample_that_is_not_finite_is_refused(digits: Digits) -> None:
    model = pair()
    next(model.generator.parameters()).data.fill_(math.nan)
    with pytest.raises(NonFiniteError):
        evaluator(digits).score(model, "test")


def test_too_few_samples_are_refused_before_any_is_made(digits: Digits) -> None:
    with pytest.raises(DataError, match="got 360 real and 16 generated"):
        evaluator(digits, n=16).check("test")
    small = Split(digits.test.samples[:10], None)
    with pytest.raises(DataError, match="got 10 real and 50 generated"):
        evaluator(Data("small", digits.shape, digits.train, small, small), n=50).check("test")


def test_a_fidelity_for_other_samples_is_refused_before_any_is_made(digits: Digits) -> None:
    judge = evaluator(digits)
    judge.fidelities = {"si_sdr": SISDR()}
    with pytest.raises(ConfigError, match=r"fidelity\.si_sdr: samples are \[1, 8, 8\]"):
        judge.check("test")


class Broken(Kernel):
    """Counts how often it is asked."""

    asked = 0

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        Broken.asked += 1
        raise DataError("METRIC-N", "broken")


def restorer() -> Pair:
    torch.manual_seed(0)
    task = Restoration({"box": CentreBox(0.5)})
    return Pair(UNet(4, (1, 8, 8), 4, 1, 8), refiner_mlp.MLP((1, 8, 8), 4, 16, 0.3), Pixels(), task)


def judge_of_restored(data: Data) -> Evaluator:
    judge = evaluator(data, n=101)
    judge.fidelities = {"psnr": PSNR()}
    return judge


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    data, model = Digits(), pair()
    scores = {str(n): evaluator(data, n).score(model, "test", rank, world=2) for n in (360, 101)}
    scores["restored"] = judge_of_restored(data).score(restorer(), "test", rank, world=2)
    judge = evaluator(data)
    judge.metrics["kernel"] = Broken()  # the second
    try:
        judge.score(model, "test", rank, world=2)
    except DataError as error:
        scores["broken"] = {str(error): Broken.asked}
    Path(folder, f"{rank}.json").write_text(json.dumps(scores))
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_score_like_one(digits: Digits, tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert (first.pop("broken"), second.pop("broken")) == ({BROKEN: 0}, {BROKEN: 1})
    assert first == second
    restored = judge_of_restored(digits).score(restorer(), "test")
    assert first.pop("restored") == pytest.approx(restored, rel=1e-4) and "damaged/psnr" in restored
    for n, scores in first.items():
        assert scores == pytest.approx(evaluator(digits, int(n)).score(pair(), "test"), rel=1e-4)


def test_rows_of_three_processes_return_to_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(10.0)[:, None]

    def fill(parts: list[Tensor], own: Tensor) -> None:
        assert len(own) == 4
        for rank, part in enumerate(parts):
            part[: len(rows[rank::3])] = rows[rank::3]

    monkeypatch.setattr(ranks.dist, "all_gather", fill)
    for rank in range(3):
        assert torch.equal(ranks.collect(rows[rank::3], 10, 3), rows)


class Constant:
    """Stands for an evaluator, and says how often and on what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def higher_is_better(self) -> dict[str, bool]:
        return {"draft/fd": False, "refined/fd": False}

    def score(self, model: nn.Linear, split: str, rank: int, world: int) -> dict[str, float]:
        self.asked.append((split, model.weight.sum().item()))
        return {"draft/fd": float(len(self.asked)), "refined/fd": 0.5}

    def log_likelihood(self, model: nn.Linear, split: str) -> dict[str, float]:
        return {"elbo": -float(len(self.asked))}


def test_monitor_scores_the_average_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    weights: list[float] = []

    def drift_apart(system: System) -> None:
        system.average.weight.data.add_(1)
        weights.append(system.average.weight.sum().item())

    system = System(after=drift_apart)
    constant: Any = Constant()
    monitor = Monitor(constant, every=3)
    logger = CSVLogger(tmp_path, name="log", version="0")
    trainer(tmp_path, [monitor], 8, logger=logger, log_every_n_steps=1).fit(system, Batches(8))
    assert constant.asked == [("validation", weights[t - 1]) for t in (3, 6, 8)]
    assert monitor.latest == {"draft/fd": 3.0, "refined/fd": 0.5}
    header, *lines = (tmp_path / "log" / "0" / "metrics.csv").read_text().splitlines()
    columns = [header.split(",").index(name) for name in ("step", "validation/draft/fd")]
    found = [[line.split(",")[column] for column in columns] for line in lines]
    assert [pair for pair in found if pair[1]] == [["3", "1.0"], ["6", "2.0"], ["8", "3.0"]]
