"""Nodes become objects; what is not on the list is refused before it is imported."""

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError, RefusedError
from stable_diffusion_lab.model import Pair

PIXELS = {"_target_": "stable_diffusion_lab.draft.pixels.Pixels", "stages": ["draft"]}
CANARY = {"_target_": "canary.sing", "x": 1}

HOSTILE: dict[str, Any] = {
    "plain": CANARY,
    "nested": {**PIXELS, "stages": CANARY},
    "in a list": {**PIXELS, "stages": ["draft", CANARY]},
    "deep": {**PIXELS, "stages": {"a": [{"b": CANARY}]}},
    "partial": {**CANARY, "_partial_": True},
    "interpolated": {"_target_": "${where}", "where": "canary.sing"},
    "near the prefix": {"_target_": "stable_diffusion_lab_canary.sing"},
    "the prefix alone": {"_target_": "stable_diffusion_lab"},
    "not a text": {"_target_": 3},
    "nothing": {"_target_": None},
    "os": {"_target_": "os.system", "command": "true"},
    "builtins": {"_target_": "builtins.open", "file": "x", "mode": "w"},
    "subprocess": {"_target_": "subprocess.Popen", "args": ["true"]},
    "torch.load": {"_target_": "torch.load", "f": "x"},
    "torch.hub": {"_target_": "torch.hub.load", "repo_or_dir": "x", "model": "x"},
    "torch.optim": {"_target_": "torch.optim.sgd.SGD"},
    "lightning": {"_target_": "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree", "path": "x"},
    "alias of torch": {"_target_": "stable_diffusion_lab.layer.mlp.nn.Linear"},
    "alias of a module": {"_target_": "stable_diffusion_lab.layer.frozen.nn"},
    "alias of os": {"_target_": "stable_diffusion_lab.command.allow.os.system", "command": "true"},
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a file behind when it is imported."""
    song = tmp_path / "song"
    code = (
        f"open({str(song)!r}, 'w').close()\nclass sing:\n    def __init__(self, x=0):\n        self.x = x\n"
    )
    for name in ("canary", "stable_diffusion_lab_canary"):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return song


@pytest.mark.parametrize("node", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_target_is_refused_and_not_imported(node: Any, canary: Path) -> None:
    with pytest.raises(RefusedError) as refusal:
        build(OmegaConf.create(node))
    assert refusal.value.exit_code == 9
    assert not canary.exists()
    assert "canary" not in sys.modules


def test_a_package_that_the_user_allows_is_built(canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDLAB_ALLOW", "other, canary")
    assert build(CANARY).x == 1
    assert canary.exists()


def test_a_node_becomes_its_object() -> None:
    assert build(OmegaConf.create(PIXELS)).stages == ("draft",)


def test_a_partial_node_becomes_a_factory_that_takes_the_rest() -> None:
    factory = build({"_target_": PIXELS["_target_"], "_partial_": True})
    made = factory(stages=["refined"])
    assert isinstance(made, Pixels)
    assert made.stages == ("refined",)


def test_extra_arguments_are_passed_as_they_are() -> None:
    generator, refiner = nn.Identity(), nn.Identity()
    node = OmegaConf.create({"_target_": "stable_diffusion_lab.model.Pair", "space": PIXELS})
    pair = build(node, generator=generator, refiner=refiner)
    assert isinstance(pair, Pair)
    assert pair.generator is generator
    assert pair.refiner is refiner


def test_extra_arguments_win() -> None:
    assert build(PIXELS, stages=["refined"]).stages == ("refined",)


def test_interpolations_reach_the_constructor() -> None:
    config = OmegaConf.create({"which": "refined", "draft": {**PIXELS, "stages": ["${which}"]}})
    assert build(config.draft).stages == ("refined",)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_error_of_a_constructor_comes_out_as_itself(depth: int) -> None:
    node: dict[str, Any] = {**PIXELS, "stages": ["nonsense"]}
    for _ in range(depth):
        node = {
            "_target_": "stable_diffusion_lab.model.Pair",
            "generator": None,
            "refiner": None,
            "space": node,
        }
    with pytest.raises(ConfigError, match="nonsense"):
        build(node)


def test_a_target_that_does_not_exist_is_a_mistake_in_the_config() -> None:
    with pytest.raises(ConfigError, match="Pixel'"):
        build({"_target_": "stable_diffusion_lab.draft.pixels.Pixel"})
