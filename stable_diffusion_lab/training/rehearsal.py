"""Learning in small, before there is a run: what does not fit shows now, and not after the head start."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.error import ConfigError, LabError
from stable_diffusion_lab.layer.seeding import seeded
from stable_diffusion_lab.training.system import System


def rehearse(system: System, batch: Batch) -> set[str]:
    """Ask all objectives for their terms as they will be asked: at the beginning, and once there are drafts.

    Args:
        system: fresh from its constructor; not to be used afterwards, because objectives remember.
        batch: a few samples.

    Returns:
        Names of all terms.

    Raises:
        ConfigError: if an objective cannot compare what it is given, or the generator has no term.
        LabError: whatever an objective raises.
    """
    start = system.schedule.generator_start
    steps = [step for step in sorted({0, start}) if step < system.schedule.steps]
    terms: dict[str, Tensor] = {}
    with seeded(0):
        for system.batches_seen in steps:
            draft = _draft(system, batch)
            for name, objective in system.active().items():
                try:
                    terms |= system.ask(name, objective, batch, draft)
                except LabError:
                    raise
                except Exception as error:
                    raise _unfit(name, error) from error
    if system.objectives and start in steps and next(system.model.generator.parameters(), None) is not None:
        taught = {name.split("/")[1] for name in terms if name.split("/")[0] in system.objectives}
        if "generator" not in taught:
            names = ",".join(system.objectives)
            remedy = f"say objective@refinement=[{names}] beside another, or objective=none"
            raise ConfigError("CFG-FIT", f"objective: {names} does not teach the generator; {remedy}")
    return set(terms)


def _draft(system: System, batch: Batch) -> Draft:
    """As the system draws it, for one process."""
    learns = system.schedule.learns("generator", system.batches_seen)
    noise = torch.randn(len(batch.clean) if learns else 0, system.model.generator.noise_dim)
    return system.drafted(noise, batch, torch.Generator().manual_seed(0) if learns else None)


def _unfit(name: str, error: Exception) -> ConfigError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ConfigError("CFG-FIT", f"objective {name}: cannot compare these samples ({what}); see --trace")
