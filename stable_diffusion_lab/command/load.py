"""A trained model out of a run folder."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.check import check
from stable_diffusion_lab.command.compose import guard
from stable_diffusion_lab.error import ConfigError, RefusedError
from stable_diffusion_lab.file.tensor_file import fit
from stable_diffusion_lab.modality.base import Modality
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.checkpoint import latest
from stable_diffusion_lab.training.checkpoint_file import read

_AVERAGE = "average."


class Trained(NamedTuple):
    """What a run folder holds.

    Attributes:
        config: resolved configuration of the run.
        model: the pair with its averaged weights, ready to generate.
        step: batches that it has seen.
        modality: what its samples are.
    """

    config: DictConfig
    model: Pair
    step: int
    modality: Modality


def load(run: Path, device: str = "cpu") -> Trained:
    """The model of a run's newest undamaged checkpoint.

    Args:
        run: folder that training made.
        device: a torch device, or ``auto``.

    Raises:
        ConfigError: if it is no run folder.
        CheckpointError: if there is no usable checkpoint, or it does not fit the run's own config.
        RefusedError: if the folder's config names something that it may not.
    """
    config = stored_config(run)
    path = latest(run)
    checkpoint = read(path)
    model = build(config.model)
    weights = {
        name.removeprefix(_AVERAGE): weight
        for name, weight in checkpoint["state_dict"].items()
        if name.startswith(_AVERAGE)
    }
    fit(model, weights, path, "config.yaml beside it")
    return Trained(config, model.to(pick(device)).eval(), checkpoint["batches_seen"], stored_modality(run))


def stored_modality(run: Path) -> Modality:
    """What the samples of a run are, without its data, which need not be here.

    Raises:
        ConfigError: if the folder does not say, or not in a way that this program understands.
        RefusedError: if it names something that may not be built.
    """
    path = run / "modality.json"
    try:
        found = build(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError("CFG-RUN", f"{path}: cannot be read ({error}); sample from another run") from error
    if not isinstance(found, Modality):
        raise ConfigError("CFG-RUN", f"{path}: describes no modality; sample from another run")
    return found


def stored_config(run: Path) -> DictConfig:
    """The configuration of a run. Run folders get passed around: it is checked like a stranger's.

    Raises:
        ConfigError: if there is none, or it is not one of this program's.
        RefusedError: if it wants to read the environment or to build what may not be built.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError("CFG-RUN", f"{run}: not a run folder (it has no config.yaml)")
    guard([run])
    try:
        config = OmegaConf.load(path)
    except YAMLError as error:
        found = " ".join(str(error).split())
        raise ConfigError("CFG-RUN", f"{path}: not a configuration ({found})") from error
    if not isinstance(config, DictConfig):
        raise ConfigError("CFG-RUN", f"{path}: not a configuration")
    if "${" in str(OmegaConf.to_container(config, resolve=False)):
        raise RefusedError("SEC-CONFIG", f"{path}: a stored config has plain values only, no ${{...}}")
    check("train", config)
    return config


def pick(device: str) -> torch.device:
    """A device by name; ``auto`` takes the best there is, but not ``mps``, which has no float64.

    Raises:
        ConfigError: if torch knows no such device, this machine has none, or it has no float64.
    """
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if accelerator is None or accelerator.type == "mps" else accelerator
    try:
        return torch.empty(0, dtype=torch.float64, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(
            "CFG-DEVICE", f"device: '{device}' is not available here, or has no float64; say cpu or auto"
        ) from error
