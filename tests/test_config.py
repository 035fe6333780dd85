"""Every mistake in a configuration is found before torch is imported, and named in one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import parts
import pytest
import yaml

from stable_diffusion_lab import cli
from stable_diffusion_lab.command.check import check
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.command.unused import unused
from stable_diffusion_lab.error import LabError

# What is given to `sdlab train` (two blanks between words), and what the message has to contain.
BAD = {
    # names
    "generator=latnt": "generator=latnt: no such option; did you mean 'latent'?",
    "objective=[sinkhorn,sinkhron]": "objective=sinkhron: no such option; did you mean 'sinkhorn'?",
    "experiment=nonsense": "experiment=nonsense: no such option",
    "generator=../../../../etc/passwd": "generator=../../../../etc/passwd: no such option",
    "bach_size=3": "bach_size: no such key; did you mean 'batch_size'?",
    "trainer.max_step=3": "trainer.max_step: no such key; did you mean 'max_steps'?",
    "+generator.hiden_dim=3": "generator.hiden_dim: no such key; did you mean 'hidden_dim'?",
    "++refiner.hiden_dim=3": "refiner.hiden_dim: no such key; did you mean 'hidden_dim'?",
    "+trainer.max_epoch=3": "trainer.max_epoch: no such key; did you mean 'max_epochs'?",
    "+typo=1": "typo: no such key",
    "objective=reverse_kl  inference=mlp": "inference: no such key; did you mean 'inference@objective",
    "+objective.typo=1": "objective.typo: 1 is not allowed; expected a node with _target_",
    "+metric.frechet.typo=1": "metric.frechet.typo: no such key",
    "data={a: 1}": "data.a: no such key",
    "generator._target_=stable_diffusion_lab.generator.latent.Latnt": "did you mean 'Latent'?",
    "generator._target_=stable_diffusion_lab.generator.nothing.Latent": "there is no module",
    # types
    "batch_size=abc": "batch_size: 'abc' is not allowed; expected an integer >= 1",
    "batch_size=1.5": "batch_size: 1.5",
    "batch_size=true": "batch_size: True",
    "batch_size=null": "batch_size: null",
    "batch_size=.inf": "batch_size: '.inf'",
    "batch_size='3'": "batch_size: '3'",
    "refiner.hidden_dim=[3]": "refiner.hidden_dim: [3]",
    "refiner.decoder_scale=inf": "refiner.decoder_scale: inf",
    "refiner.decoder_scale=nan": "refiner.decoder_scale: nan",
    "name=[a]": "name: ['a']",
    "resume=3": "resume: 3 is not allowed; expected a text or null",
    "data.shape=8": "data.shape: 8",
    "data.shape=[1,a,8]": "data.shape: [1, 'a', 8]",
    "draft=pixels  draft.stages=[1]": "draft.stages: [1]",
    "optimizer.betas=[0.9]": "optimizer.betas: [0.9] is not allowed; expected a list of 2",
    "objective.sinkhorn=1": "objective.sinkhorn",
    "trainer.deterministic=maybe": "trainer.deterministic: 'maybe'",
    # ranges
    "batch_size=-3": "batch_size: -3",
    "batch_size=0": "batch_size: 0",
    "seed=-1": "seed: -1",
    "seed=99999999999999999999999": "seed: 99999999999999999999999",
    "generator.blocks=-1": "generator.blocks: -1",
    "refiner.decoder_scale=0": "refiner.decoder_scale: 0 is not allowed; expected a finite number > 0",
    "schedule.head_start=1.7": "schedule.head_start: 1.7",
    "optimizer.generator=0": "optimizer.generator: 0",
    "ema_decay=1": "ema_decay: 1",
    "trainer.max_steps=0": "trainer.max_steps: 0",
    "trainer.devices=0": "trainer.devices: 0",
    "optimizer.betas=[1.5,0.9]": "optimizer.betas: [1.5, 0.9] is not allowed; expected a list of 2",
    "optimizer.refiner_betas=[0.9,1]": "optimizer.refiner_betas: [0.9, 1]",
    "objective=drift  objective.drift.temperatures=[-1]": "temperatures: [-1]",
    "objective=drift  objective.drift.temperatures=[]": "temperatures: []",
    "objective=sharp_drift  objective.sharp_drift.temperatures=[]": "temperatures: []",
    "objective=mmd  objective.mmd.bandwidths=[]": "objective.mmd.bandwidths: []",
    "objective=energy  feature=encoder  feature.layers=[]": "feature.layers: [] is not allowed",
    "refinement=spectral  refinement.spectral.sizes=[]": "refinement.spectral.sizes: []",
    "trainer.precision=64-true": "trainer.precision: '64-true'",
    "trainer.precision=17": "trainer.precision: 17 is not allowed; expected one of",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val: -1",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps: 0",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches: 0",
    # missing values and references
    "name=???": "name: has no value yet",
    "data=???": "data: choose an option",
    "data=image_folder": "data.path: has no value yet; set it with data.path=...",
    "feature=backbone": "feature.path: has no value yet; set it with feature.path=...",
    "~seed": "${seed} refers to nothing",
    "~save_every": "save_every: has no value; add it",
    "objective=[]": "objective: has no value; say objective=none",
    "trainer.num_nodes=0": "trainer.num_nodes: 0 is not allowed",
    "~refiner.hidden_dim": "refiner.hidden_dim: has no value; add it",
    "name=${data.nam}": "name: ${data.nam} refers to nothing; did you mean 'data.name'?",
    "name=${name}": "name: refers to itself in a circle",
    "name=${data.name}  data.name=${name}": "refers to itself in a circle",
    "generator.blocks=${generator}": "generator.blocks: refers to itself in a circle",
    "name=${oc.env:SDLAB_NONSENSE}": "name: KeyError",
    "name=${nonsense:1}": "name: Unsupported interpolation type nonsense",
    # syntax
    "seed": "seed",
    "=3": "=3: write group=option or key=value",
    "seed=1,2": "seed: a list is written 'seed=[1,2]'; to sweep over it, add -m",
    "seed=[1": "seed=[1",
    "name=${": "name=${",
    "generator=5": "generator=5",
    "generator=null": "generator=null",
    "hydra.searchpath=[/nonsense]": "hydra.searchpath: there is no folder /nonsense",
}

RUN = """
import contextlib, io, json, sys
from stable_diffusion_lab import cli
cli.VERBS["train"] = "builtins:repr"  # a mistake that is not found must not start a run
answers = {}
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        code = cli.main(["train", *words.split("  ")])
    answers[words] = code, shown.getvalue(), "torch" in sys.modules
json.dump(answers, sys.stdout)
"""


def answers_to(overrides: list[str]) -> dict[str, Any]:
    """Exit code, standard error, and whether torch was imported, for each; all in one process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        input=json.dumps(overrides),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return answers_to(list(BAD))


@pytest.mark.parametrize("override", BAD)
def test_a_mistake_is_named_in_one_line(override: str, answers: dict[str, Any]) -> None:
    code, shown, torch_is_there = answers[override]
    (line,) = shown.splitlines()
    assert code == 2
    assert line.startswith("sdlab: error[CFG-")
    assert BAD[override] in line
    assert not torch_is_there


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
FILES = {
    "tab": (b"# @package _global_\nseed: 1\n\tname: x\n", ":3:1: "),
    "bracket": (b"seed: [1, 2\n", ":2:1: "),
    "duplicate": (b"seed: 1\nseed: 2\n", ":2:"),
    "object": (b"seed: !!python/object/apply:os.getpid []\n", ":1:7: "),
    "binary": (bytes(range(256)), ""),
    "latin": ("name: caf\u00e9\n".encode("latin-1"), ""),
    "list": (b"- 1\n- 2\n", ""),
    "bomb": (BOMB.encode(), "its aliases expand past 10000 values"),
    "itself": (b"a: &a [*a]\n", ""),
    "large": (b"# " + b"x" * 2_000_000, "larger than 1000000 bytes"),
    "wide": (b"# @package _global_\nname: [" + b"1," * 10_001 + b"]\n", "expands past 10000 values"),
}


@pytest.mark.parametrize(("content", "place"), FILES.values(), ids=FILES.keys())
def test_a_broken_file_is_named(content: bytes, place: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment" / "broken.yaml"
    file.parent.mkdir()
    file.write_bytes(content)
    override = f"hydra.searchpath=[file://{tmp_path}]  experiment=broken"
    code, shown, torch_is_there = answers_to([override])[override]
    (line,) = shown.splitlines()
    assert code == 2
    assert line.startswith("sdlab: error[CFG-")
    assert (f"broken.yaml{place}" if place.startswith(":") else place) in line
    assert not torch_is_there


def test_a_target_outside_the_house_is_refused(tmp_path: Path) -> None:
    overrides = ["generator._target_=os.system", "+metric.x={_target_: torch.hub.load}", "data._target_=null"]
    for code, shown, torch_is_there in answers_to(overrides).values():
        assert code == 9
        assert shown.startswith("sdlab: error[SEC-TARGET]")
        assert len(shown.splitlines()) == 1
        assert not torch_is_there


def options() -> list[str]:
    """Each option of each group, as an override of ``train``."""
    config = yaml.safe_load((CONF / "train.yaml").read_text())
    groups = [key for entry in config["defaults"] if isinstance(entry, dict) for key in entry]
    return [
        f"{group}={file.stem}" for group in groups for file in sorted((CONF / group.split("@")[0]).glob("*"))
    ]


def command(option: str) -> list[str]:
    """What the file's own comment says to type for it, and a text for each value that has to be set."""
    group, _, name = option.partition("=")
    values = yaml.safe_load((CONF / group.split("@")[0] / f"{name}.yaml").read_text())
    return parts.command(group, name) + [f"{group}.{key}=x" for key in values if values[key] == "???"]


@pytest.mark.parametrize("option", options())
def test_every_option_composes_and_passes_the_check(option: str) -> None:
    check("train", compose("train", command(option)))


NEEDED = {"train": [], "evaluate": ["run=x"], "sample": ["run=x"], "restore": ["run=x", "input=y"]}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_defaults_of_each_command_pass_the_check(verb: str) -> None:
    check(verb, compose(verb, NEEDED[verb]))


def test_several_mistakes_name_the_place_where_one_was_written() -> None:
    with pytest.raises(LabError, match=r"^error\[CFG-VALUE\]: data\.shape: "):
        check("train", compose("train", ["data.shape=[0.5]"]))


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        (["regularizer=r1", "objective=hinge"], []),
        (["regularizer=r1", "seed=3"], ["regularizer=r1"]),
        (["objective=hinge", "regularizer.r1.gamma=3"], []),
        (["objective=mmd", "kernel=rational_quadratic", "denoiser=mlp"], ["denoiser=mlp"]),
        (["feature=encoder", "objective=reverse_kl"], ["feature=encoder"]),
        (["feature=encoder", "objective=[sinkhorn,reverse_kl]"], []),
        (["density=mixture"], ["density=mixture"]),
        (["data=toy", "density=mixture", "generator=mlp", "draft=pixels", "name=x"], []),
        (["experiment=article", "refiner=mlp"], ["refiner=mlp"]),
    ],
)
def test_words_that_change_nothing_are_found(words: list[str], idle: list[str]) -> None:
    assert unused(compose("train", words), words) == idle
