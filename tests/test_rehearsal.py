"""What does not fit is found before there is a run, and not when the generator begins."""

from pathlib import Path

import parts
import pytest
import torch

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import assemble, train
from stable_diffusion_lab.command.trainer import trainer_for
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.mixture import Mixture
from stable_diffusion_lab.training.rehearsal import rehearse

SMALL = [
    *("trainer.max_steps=3", "schedule.head_start=0.34", "logger=none", "metric=[frechet]", "health=none"),
    *("refiner.hidden_dim=16", "batch_size=20", "trainer.accelerator=cpu"),
]
TOY = ["data=toy", "data.train=60", "data.validation=50", "data.test=50"]
REGULARIZERS = ",".join(name for name in parts.members("regularizer") if name != "none")

UNFIT = {
    "objective=hinge augment=diff_augment": "augment: wants images",
    "objective=hinge critic.shape=[3]": "critic.shape: [3], but points are [16]",
    "objective=score_difference denoiser.shape=[3]": "denoiser",
    "objective=sinkhorn feature=by_observation": "feature.by_observation: drafts belong to no sample",
    "objective=sinkhorn feature=encoder feature.layers=[9]": "feature.layers: [9]",
    "generator.components=2000": "generator.components: 2000, to be fitted to",
    "generator=mixture generator.components=2000": "generator.components: 2000, to be fitted to",
    "batch_size=5000": "batch_size: 5000, where the train split has",
    "batch_size=1000 trainer.devices=2": "batch_size: 1000 x 2 processes, where the train split has",
    "adapt=plateau adapt.watch=refined/fdd": "adapt.watch: there is no score 'refined/fdd'",
    "adapt.weights={sinkhorn:-1}": "adapt.weights.sinkhorn: -1; wants 0 or more",
    "trainer.precision=16-mixed trainer.gradient_clip_val=1.0": "trainer.precision: 16-mixed clips",
}


@pytest.mark.parametrize("words", UNFIT)
def test_what_does_not_fit_leaves_no_run_behind(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *SMALL, *words.split(), f"runs={tmp_path}/runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert UNFIT[words] in line
    assert not (tmp_path / "runs").exists()


def test_a_generator_that_nothing_teaches_may_be_wanted(tmp_path: Path) -> None:
    for words in (["objective=none"], ["objective=none", "generator=mixture", "generator.components=2"]):
        train(compose("train", [*SMALL, *TOY, "extractor=coordinates", *words, f"runs={tmp_path}"]))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in ("objective", "refinement")
        for name in parts.members(group)
        if name != "none"
    ],
)
def test_what_fits_can_be_rehearsed_with_few_samples(group: str, name: str, mixed: bool) -> None:
    words = ["task=inpainting"] if name in parts.PAIRED else []
    config = compose("train", [*words, "schedule=together", f"{group}={name}"])
    batch = Batch(torch.rand(8, 1, 8, 8) * 2 - 1, None)
    system = assemble(config)
    before = torch.random.get_rng_state()
    terms = rehearse(system, batch, mixed)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert any(term.startswith(f"{name}/") for term in terms)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("words", [[], ["objective=wasserstein_gp", f"regularizer=[{REGULARIZERS}]"]])
def test_every_precision_that_is_offered_trains_the_generator(
    words: list[str], precision: str, tmp_path: Path
) -> None:
    train(compose("train", [*SMALL, *words, f"trainer.precision={precision}", f"runs={tmp_path}"]))


def test_several_nodes_share_a_batch() -> None:
    trainer = trainer_for(compose("train", ["trainer.accelerator=cpu", "trainer.num_nodes=2"]), logger=False)
    assert (trainer.num_nodes, trainer.world_size) == (2, 2)


def test_a_mixture_counts_what_it_is_fitted_to() -> None:
    mixture = Mixture(2, (2,), components=4, limit=5)
    for few in (3, 2):
        with pytest.raises(ConfigError, match=f"components: 4, to be fitted to {few} samples"):
            mixture.check(few, None)
    with pytest.raises(ConfigError, match="components: 6, to be fitted to 5 samples"):
        Mixture(2, (2,), components=6, limit=5).check(100, None)
    for count in (4, 5, 6, 9):  # no more than five, and no fewer where there are more
        mixture.check(count, None)
        mixture.initialise([torch.randn(count, 2)])


def test_weights_of_terms_are_set_as_the_yaml_says_on_top_of_an_experiments_own() -> None:
    word = "adapt.weights={sinkhorn: 0.5, reverse_kl/generator: 2.0}"
    assert compose("train", [word]).adapt.weights == {"sinkhorn": 0.5, "reverse_kl/generator": 2.0}
    found = compose(
        "train", ["experiment=restore_mnist", "adapt.weights.sinkhorn=0.5", "adapt.weights.other=3"]
    )
    assert found.adapt.weights == {"sinkhorn": 0.5, "refined": 0.2, "other": 3}
    with pytest.raises(ConfigError, match="weigths: no such key"):
        compose("train", ["adapt.weigths={sinkhorn: 0.5}"])


def test_weights_of_what_is_no_term_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = "adapt.weights={sinkorn: 0.5, sinkhorn: 0.5, evidence/refiner/rate: 1.0, evidence/ref: 1.0}"
    train(compose("train", [*SMALL, weights, f"runs={tmp_path}"]))
    (line,) = capsys.readouterr().err.splitlines()
    told = "no term is called sinkorn or evidence/ref; there are evidence/"
    assert line.startswith(f"sdlab: warning[WEIGHTS]: adapt.weights: {told}")


@pytest.mark.parametrize(("schedule", "silent"), [("head_start", True), ("together", False)])
def test_what_says_nothing_in_a_run_is_noticed(
    schedule: str, silent: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refiner compares the drafts of batches in which it learns; after a head start there are none."""
    small = [word for word in SMALL if not word.startswith("schedule")]
    words = ["refinement=[evidence,refined]", f"schedule={schedule}", f"runs={tmp_path}"]
    train(compose("train", [*small, *words]))
    told = [line for line in capsys.readouterr().err.splitlines() if "UNUSED" in line]
    assert told == [] or told[0].startswith("sdlab: warning[UNUSED]: refined: no term in this run")
    assert bool(told) == silent
