"""Lightning's trainer, and what it is refused."""

from typing import Any, cast

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.load import pick
from stable_diffusion_lab.error import ConfigError


def trainer_for(config: DictConfig, **extra: Any) -> Trainer:
    """Lightning's trainer.

    Raises:
        ConfigError: if this machine has no such accelerator, devices or strategy, or gradients are to be
            clipped in a way that the system does not know.
    """
    wanted = config.trainer
    if wanted.gradient_clip_val and wanted.precision == "16-mixed":  # fused Adam unscales too late for it
        raise ConfigError(
            "CFG-TRAINER", "trainer.precision: 16-mixed clips scaled gradients; take bf16-mixed"
        )
    if wanted.get("gradient_clip_algorithm") == "value":
        message = "trainer.gradient_clip_algorithm: only the norm of each player's gradient is clipped"
        raise ConfigError("CFG-TRAINER", message)
    if wanted.accelerator == "auto" and pick("auto").type == "cpu":  # Lightning's own choice may be mps
        extra["accelerator"] = "cpu"
    try:
        trainer = cast(Trainer, build(wanted, **extra))
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError("CFG-TRAINER", f"trainer: {' '.join(str(error).split())}") from error
    if trainer.strategy.root_device.type == "mps":
        raise ConfigError("CFG-TRAINER", "trainer.accelerator: mps has no float64; say cpu or auto")
    return trainer
