"""Lightning's trainer, what it is refused, and what it is not to say."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning from saying what does not concern a user of this program."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Batches have numbers, so a run can be resumed anywhere; and the average is always in eval mode.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended")
        warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")
        warnings.filterwarnings("ignore", "The number of training batches")
        warnings.filterwarnings("ignore", ".*is deprecated, use", module="lightning")
        yield
