"""A run that goes wrong is named, and a healthy one is left in peace."""

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.mlp import MLP as Generator
from stable_diffusion_lab.layer.mlp import mlp
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.objective.augment.identity import Identity as Unchanged
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.objective.critic.mlp import MLP as Critic
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.non_saturating import NonSaturating
from stable_diffusion_lab.objective.regularizer.base import Regularizer
from stable_diffusion_lab.objective.regularizer.r1 import R1
from stable_diffusion_lab.objective.regularizer.r2 import R2
from stable_diffusion_lab.objective.relativistic import Relativistic
from stable_diffusion_lab.objective.sinkhorn import Sinkhorn
from stable_diffusion_lab.refinement.evidence import Evidence
from stable_diffusion_lab.refiner.mlp import MLP as Refiner
from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.checkpoint_file import read
from stable_diffusion_lab.training.health.active_units import ActiveUnits
from stable_diffusion_lab.training.health.base import Findings, Symptom
from stable_diffusion_lab.training.health.class_balance import ClassBalance
from stable_diffusion_lab.training.health.coverage import Coverage
from stable_diffusion_lab.training.health.critic_accuracy import CriticAccuracy
from stable_diffusion_lab.training.health.missing_classes import MissingClasses
from stable_diffusion_lab.training.health.pair_distance import PairDistance
from stable_diffusion_lab.training.health.posterior_rate import PosteriorRate
from stable_diffusion_lab.training.health.watch import Health
from stable_diffusion_lab.training.monitor import Monitor
from stable_diffusion_lab.training.schedule import Schedule
from stable_diffusion_lab.training.system import System

BOTH = {"generator", "refiner"}
MODES = 8


def findings(**known: Any) -> Findings:
    """Two clouds of the same distribution, and whatever is known otherwise."""
    rng = torch.Generator().manual_seed(0)
    real, draft = torch.randn(2, 200, 3, generator=rng, dtype=torch.float64)
    posterior = Posterior(torch.zeros(200, 4), torch.zeros(200, 4))
    usual = Findings({}, real, None, {"draft": draft}, posterior, None)
    return usual._replace(**known)


def value(symptom: Symptom, **known: Any) -> float:
    found = symptom.measure(findings(**known))
    assert found is not None
    return found


def test_coverage_is_that_of_the_validation_where_there_is_one() -> None:
    scores = {"damaged/coverage": 0.9, "draft/fd": 0.9, "draft/coverage": 0.2, "refined/coverage": 0.4}
    assert value(Coverage(), scores=scores) == 0.4


def test_coverage_is_computed_where_there_is_none() -> None:
    assert value(Coverage()) > 0.9
    assert value(Coverage(), generated={"draft": findings().real}) == 1
    assert value(Coverage(), generated={"draft": torch.full((200, 3), 99.0).double()}) == 0
    assert Coverage().measure(findings(real=torch.zeros(5, 3).double())) is None


def test_pair_distance_has_the_unit_of_the_data() -> None:
    real = findings().real
    assert value(PairDistance(), generated={"draft": 0.25 * real + 7}) == pytest.approx(0.25)
    assert value(PairDistance(), generated={"draft": 0 * real, "refined": 3 * real}) == pytest.approx(3)
    assert PairDistance().measure(findings(real=torch.zeros(9, 3).double())) is None


def classes(real: list[int], generated: list[int]) -> dict[str, Any]:
    """So many samples of class 0, 1, ..., held-out and generated, each class far from the others."""

    def of(counts: list[int]) -> Tensor:
        return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))

    labels, drafts = of(real), of(generated)
    centres = 100 * torch.eye(len(real), dtype=torch.float64)
    noise = torch.rand(len(drafts), len(real), dtype=torch.float64)
    return {"real": centres[labels], "labels": labels, "generated": {"draft": centres[drafts] + noise}}


def test_classes_are_counted() -> None:
    mixed = classes([50, 50, 100], [20, 0, 20])
    assert value(MissingClasses(), **mixed) == 1
    assert value(ClassBalance(), **mixed) == pytest.approx(0.5 * (0.25 + 0.25 + 0))
    assert value(MissingClasses(), **classes([50, 50, 100], [1, 1, 38])) == 0
    rare = classes([5, 195], [0, 200])
    assert value(MissingClasses(), **rare) == 0, "five may be absent by accident"
    assert value(MissingClasses(expected=4), **rare) == 1
    assert value(ClassBalance(), **classes([7, 3], [70, 30])) == pytest.approx(0)


def test_classes_need_labels() -> None:
    assert MissingClasses().measure(findings()) is None
    assert ClassBalance().measure(findings()) is None


def test_a_class_that_one_stage_has_is_not_missing() -> None:
    found = classes([50, 50], [100, 0])
    found["generated"]["refined"] = classes([50, 50], [40, 60])["generated"]["draft"]
    assert value(MissingClasses(), **found) == 0
    assert value(ClassBalance(), **found) == pytest.approx(0.1)


def test_units_are_active_where_their_mean_moves() -> None:
    mean = torch.randn(500, 4) * torch.tensor([1.0, 0.12, 0.08, 0.0]) + 3
    posterior = Posterior(mean, torch.zeros(500, 4))
    assert value(ActiveUnits(), posterior=posterior) == 0.5
    assert value(ActiveUnits(threshold=0.005), posterior=posterior) == 0.75


def test_posterior_rate_is_in_nats() -> None:
    assert value(PosteriorRate()) == 0
    posterior = Posterior(torch.ones(9, 4), torch.full((9, 4), 2 * math.log(0.5)))
    each = 0.5 * (1 + 0.25 - 1 - 2 * math.log(0.5))
    assert value(PosteriorRate(), posterior=posterior) == pytest.approx(4 * each)


@pytest.mark.parametrize(
    ("symptom", "fine", "bad", "words"),
    [
        (Coverage(), 0.3, 0.12, "samples cover 12% of held-out data, below 30%"),
        (PairDistance(), 0.5, 0.49, "samples lie 0.49 times as far apart as held-out data, below 0.5"),
        (MissingClasses(), 0.0, 1.0, "1 class is never generated, above 0"),
        (MissingClasses(most=1), 1.0, 3.0, "3 classes are never generated, above 1"),
        (ClassBalance(), 0.5, 0.6, "60% of the samples are of the wrong class, above 50%"),
        (CriticAccuracy(), 0.97, 0.999, "the critic tells 99.9% of pairs apart, above 97%"),
        (ActiveUnits(), 0.1, 0.0, "0% of the latent units are active, below 10%"),
        (PosteriorRate(), 0.1, 0.02, "a posterior is 0.02 nats from the prior, below 0.1"),
    ],
)
def test_a_complaint_says_what_and_how_much(symptom: Symptom, fine: float, bad: float, words: str) -> None:
    assert symptom.complaint(fine) is None
    assert symptom.complaint(bad) == words


def watch(symptoms: dict[str, Symptom], folder: Path = Path(), **options: Any) -> Health:
    return Health(cast(Monitor, None), Checkpoint(folder, 10**9), symptoms, **options)


def test_a_warning_comes_after_patience_once_and_again_after_a_recovery() -> None:
    health = watch({"coverage": Coverage()}, patience=2)
    course = [0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1]
    told = [bool(health.judge({"coverage": it}, BOTH)) for it in course]
    assert [t for t, it in enumerate(told) if it] == [3, 8]


def test_patience_survives_a_resumption() -> None:
    before, after = (watch({"critic": CriticAccuracy()}, patience=3) for _ in range(2))
    assert not before.judge({"critic": 1.0}, BOTH) and not before.judge({"critic": 1.0}, BOTH)
    after.load_state_dict(before.state_dict())
    line = after.judge({"critic": 1.0}, BOTH)["critic"]
    assert line == (
        "the critic tells 100.0% of pairs apart, above 97%: the critic overpowers the generator; "
        "lower optimizer.adversary or hold the critic back by a regularizer"
    )


def test_a_player_who_rests_or_has_just_begun_is_left_in_peace() -> None:
    health = watch({}, grace=10)

    def learnt(step: int, **other: Any) -> set[str]:
        schedule = Schedule(steps=100, head_start=0.5)
        usual = {"objectives": {"a": 1}, "refinement": {"b": 1}, "schedule": schedule, "batches_seen": step}
        return health.learnt(cast(System, SimpleNamespace(**{**usual, **other})))

    assert [learnt(step) for step in (10, 11, 60, 61)] == [set(), {"refiner"}, {"refiner"}, BOTH]
    assert learnt(99, objectives={}) == {"refiner"} and learnt(99, refinement={}) == {"generator"}
    quiet = watch({"coverage": Coverage()}, patience=1)
    assert not quiet.judge({"coverage": 0.0}, {"refiner"}) and quiet.judge({"coverage": 0.0}, BOTH)


class Positive(Critic):
    """The first coordinate."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


def adversarial(kind: type[Adversarial], *regularizers: Regularizer) -> Adversarial:
    named = {type(it).__name__: it for it in regularizers}
    return kind(Identity(), Critic((2,), 64, 2), named, Unchanged())


@pytest.mark.parametrize("kind", [NonSaturating, Relativistic])
def test_a_critics_accuracy_is_that_of_its_last_pairs(kind: type[Adversarial]) -> None:
    objective = kind(Identity(), Positive((2,), 4, 1), {}, Unchanged())
    assert objective.accuracy is None
    real, generated = torch.tensor([[1.0, 0], [5, 0]]), torch.tensor([[0.0, 0], [2, 0], [4, 0]])
    objective.terms(generated.requires_grad_(), real)
    assert objective.accuracy is not None and not objective.accuracy.requires_grad
    assert objective.accuracy.item() == pytest.approx((1 + 3) / 6)
    assert not [name for name in objective.state_dict() if "accura" in name]


def test_a_critics_accuracy_is_the_mean_over_the_comparisons_of_a_step() -> None:
    class Stages(Identity):
        def compare(self, model: Any, batch: Any, draft: Any) -> list[Comparison]:
            return [Comparison(generated[:, None], real[:, None]) for generated, real in draft]

    objective = NonSaturating(Stages(), Positive((1,), 4, 1), {}, Unchanged())
    low, high = torch.zeros(3), torch.ones(3)
    nothing: Any = None
    for draft, share in (([(low, high), (high, low)], 0.5), ([(high, low), (low, high), (low, high)], 2 / 3)):
        objective(nothing, nothing, cast(Any, draft))
        assert objective.accuracy is not None
        assert objective.accuracy.item() == pytest.approx(share)


def ring(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of eight Gaussians on a circle, ``[n, 2]``, and whose they are."""
    label = torch.randint(MODES, (n,), generator=rng)
    angle = label * (2 * math.pi / MODES)
    return 0.8 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(n, 2, generator=rng), label


RING: dict[str, Symptom] = {
    "coverage": Coverage(),
    "pair_distance": PairDistance(),
    "missing_classes": MissingClasses(),
    "class_balance": ClassBalance(),
    "critic_accuracy": CriticAccuracy(),
}


def course(
    objective: Objective, generator_rate: float, critic_rate: float, seed: int, steps: int = 600
) -> tuple[list[set[str]], list[str]]:
    """Learn the ring, with an evaluation of the running average every 24 batches.

    Returns:
        The symptoms that were bad in each evaluation, and the warnings in their order.
    """
    rng = torch.Generator().manual_seed(seed)
    generator = mlp(4, 64, 2, activation=nn.SiLU)
    average = copy.deepcopy(generator)
    twins = [list(it.parameters()) for it in (average, generator)]
    groups = [{"params": twins[1], "lr": generator_rate}]
    if critic := list(objective.parameters()):
        groups.append({"params": critic, "lr": critic_rate})
    learn = torch.optim.Adam(groups, betas=(0.5, 0.99))
    (real, labels), noise = ring(512, rng), torch.randn(512, 4, generator=rng)
    health, bad, warnings = watch(RING), [], []
    terms = cast(Callable[..., dict[str, Tensor]], objective.terms)
    for step in range(1, steps + 1):
        learn.zero_grad()
        vars(objective).get("accuracies", []).clear()  # as a step does
        sum(terms(generator(torch.randn(128, 4, generator=rng)), ring(128, rng)[0]).values()).backward()  # type: ignore[union-attr]
        learn.step()
        with torch.no_grad():
            torch._foreach_lerp_(*twins, 9 / (10 + step))
        if step % 24 == 0:
            accuracy = getattr(objective, "accuracy", None)
            found = Findings(
                {},
                real.double(),
                labels,
                {"draft": average(noise).detach().double()},
                Posterior(real, real),
                None if accuracy is None else accuracy.item(),
            )
            values = health.measure(found)
            bad.append({name for name, it in values.items() if RING[name].complaint(it)})
            warnings += health.judge(values, BOTH if step > health.grace else set())
    return bad, warnings


HEALTHY: dict[str, Callable[[], tuple[Objective, float, float]]] = {
    "non_saturating": lambda: (adversarial(NonSaturating, R1(0.1)), 2e-3, 2e-3),
    "relativistic": lambda: (adversarial(Relativistic, R1(0.1), R2(0.1)), 2e-3, 2e-3),
    "sinkhorn": lambda: (Sinkhorn(Identity(), 0.05, 10), 1e-3, 0.0),
}


@pytest.mark.parametrize(("seed", "name"), list(enumerate(HEALTHY)))
def test_a_healthy_run_is_left_in_peace(seed: int, name: str) -> None:
    torch.manual_seed(seed)
    bad, warnings = course(*HEALTHY[name](), seed)
    assert len(bad) == 25
    assert warnings == []


def test_a_critic_that_overpowers_is_named() -> None:
    torch.manual_seed(0)
    _, warnings = course(adversarial(NonSaturating, R1(0.1)), 2e-5, 1e-2, seed=0, steps=192)
    assert "critic_accuracy" in warnings


def test_a_collapse_is_named() -> None:
    torch.manual_seed(0)
    _, warnings = course(adversarial(NonSaturating), 1e-2, 4e-4, seed=0, steps=192)
    assert "coverage" in warnings and "critic_accuracy" not in warnings


@pytest.mark.parametrize(("decoder_scale", "collapsed"), [(0.1, False), (30.0, True)])
def test_a_posterior_that_collapses_is_named(decoder_scale: float, collapsed: bool) -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    pair = Pair(Generator(4, 8, (2,)), Refiner((2,), 4, 32, decoder_scale), Pixels(["draft"]))
    learn = torch.optim.Adam(pair.refiner.parameters(), lr=1e-2)
    none, objective = Draft(torch.empty(0, 4), torch.empty(0, 2)), Evidence()
    for _ in range(300):
        terms = objective(pair, Batch(ring(64, rng)[0], None), none)
        learn.zero_grad()
        (sum(terms.values()) * decoder_scale**2).backward()
        learn.step()
    with torch.no_grad():
        posterior = pair.infer(ring(500, rng)[0])
    health = watch({"active_units": ActiveUnits(), "posterior_rate": PosteriorRate()}, patience=1)
    values = health.measure(findings(posterior=posterior))
    assert set(health.judge(values, BOTH)) == (set(values) if collapsed else set())


SMALL = [
    "trainer.max_steps=40",
    "trainer.log_every_n_steps=5",
    "trainer.accelerator=cpu",
    "save_every=5",
    "evaluate_every=10",
    "schedule.head_start=0.25",
    "metric=[frechet]",
    "logger=none",
]
SICK = ["health.patience=2", "health.grace=0", "health.symptoms.coverage.least=1", "health=[coverage]"]


def test_the_config_builds_what_watches_a_run() -> None:
    health = instantiate(compose("train").health)(monitor=None, checkpoint=None)
    assert isinstance(health, Health) and len(health.symptoms) == 7


def test_a_run_logs_every_symptom_and_is_not_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["objective=relativistic", "metric=[frechet,density_coverage]", "health.patience=9"]
    assert main(["train", *SMALL, *words, f"runs={tmp_path}"]) == 0
    assert "UNHEALTHY" not in capsys.readouterr().err
    (log,) = tmp_path.rglob("metrics.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    health = [record for record in records if "health/coverage" in record]
    assert [record["step"] for record in health] == [10, 20, 30, 40]
    names = {name.removeprefix("health/") for name in health[-1] if name.startswith("health/")}
    assert names == {path.stem for path in Path("conf/health").glob("*.yaml")} - {"none"}
    scores = [record for record in records if "validation/draft/coverage" in record][-1]
    best = max(scores["validation/draft/coverage"], scores["validation/refined/coverage"])
    assert health[-1]["health/coverage"] == best


def test_a_warning_keeps_a_snapshot_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *SMALL, *SICK, "health.snapshot=true", f"runs={tmp_path}"]) == 0
    (line,) = [it for it in capsys.readouterr().err.splitlines() if "UNHEALTHY" in it]
    assert line.startswith("sdlab: warning[UNHEALTHY]: coverage at batch 30: samples cover ")
    names = sorted(path.name for path in tmp_path.rglob("*.ckpt"))
    assert names == ["step-00000035.ckpt", "step-00000040.ckpt", "unhealthy-00000030.ckpt"]
    (snapshot,) = tmp_path.rglob("unhealthy-*.ckpt")
    assert read(snapshot)["batches_seen"] == 30


def test_a_run_stops_with_code_eight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SICK, "health.stop=true", "health.snapshot=true", "trainer.accumulate_grad_batches=4"]
    assert main(["train", *SMALL, *words, f"runs={tmp_path}"]) == 8
    *_, line = capsys.readouterr().err.splitlines()
    (run,) = tmp_path.glob("*/*")
    what = "batch 32: coverage; saved; to go on anyway"  # the next batch without half a gradient
    assert line == f"sdlab: error[UNHEALTHY]: {what}: sdlab train resume={run}"
    assert latest(run).name == "step-00000032.ckpt" and read(latest(run))["batches_seen"] == 32
    assert (run / "checkpoints" / "unhealthy-00000032.ckpt").is_file()
    assert main(["train", f"resume={run}"]) == 0, "it has been warned of, and goes on"


def test_two_ranks_stop_together(tmp_path: Path) -> None:
    words = [
        *SMALL,
        *SICK,
        "objective=relativistic",
        "health.stop=true",
        "trainer.devices=2",
        "batch_size=50",
    ]
    command = [sys.executable, "-m", "stable_diffusion_lab", "train", *words, f"runs={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 8, done.stderr[-3000:]
    assert done.stderr.count("warning[UNHEALTHY]") == 1 and done.stderr.count("error[UNHEALTHY]") == 1
    (run,) = tmp_path.glob("*/*")
    assert read(latest(run))["batches_seen"] == 30
