"""Where numbers go: always into the run folder, and to a dashboard if it can be reached."""

import sys
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.error import LabError
from stable_diffusion_lab.training.json_lines import JsonLines
from stable_diffusion_lab.training.run_folder import redact


def loggers(config: DictConfig, run: Path, resumed: int) -> list[Logger]:
    """The run's own log, and the configured one.

    A dashboard never ends a run: one that cannot be reached writes offline if it is able to, and one
    that fails altogether is left out, with a warning.

    Args:
        config: of the run; the dashboard gets it too, without secrets.
        run: folder of the run.
        resumed: batch that the run starts from.
    """
    tree: Any = OmegaConf.to_container(config, resolve=True)
    dashboards = _dashboard({**tree["logger"], "save_dir": str(run)}) if tree["logger"] else []
    for dashboard in dashboards:
        dashboard.log_hyperparams(redact(tree))
    return [JsonLines(run / "metrics.jsonl", resumed), *dashboards]


def _dashboard(node: dict[str, Any]) -> list[Logger]:
    try:
        logger = build(node)
        getattr(logger, "_wandb_init", {}).pop("anonymous", None)  # W&B warns of it even where it is None
        _ = logger.experiment  # connects
        return [logger]
    except LabError:
        raise
    except Exception as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        if node.get("offline") is False:
            warnings.warn(f"[LOG-WANDB] {cause}; writing offline, sync it later", stacklevel=2)
            return _dashboard({**node, "offline": True, "mode": "offline"})
        warnings.warn(f"[LOG] {cause}; training goes on without this logger", stacklevel=2)
        return []


def close() -> None:
    """Finish a W&B run: the next one of the same process would go on writing into it."""
    if wandb := sys.modules.get("wandb"):
        wandb.finish()
