"""Learning in small, before there is a run: what does not fit shows now, and not after the head start."""

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.error import ConfigError, LabError
from stable_diffusion_lab.seeding import seeded
from stable_diffusion_lab.training.system import System


def rehearse(system: System, batch: Batch, mixed: bool = False) -> set[str]:
    """Ask all objectives for their terms as they will be asked: at the beginning, and once there are drafts.

    Args:
        system: fresh from its constructor; not to be used afterwards, because objectives remember.
        batch: a few samples.
        mixed: whether the run mixes precisions; here, on the CPU, the half of it is always bfloat16, for
            which more is implemented than for float16.

    Returns:
        Names of all terms.

    Raises:
        ConfigError: if an objective cannot compare what it is given.
        LabError: whatever an objective raises.
    """
    steps = {it for it in (0, system.schedule.generator_start) if it < system.schedule.steps}
    terms: dict[str, Tensor] = {}
    with seeded(0), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        for system.batches_seen in sorted(steps):
            draft = _draft(system, batch)
            for name, objective in system.active().items():
                try:
                    terms |= system.ask(name, objective, batch, draft)
                except LabError:
                    raise
                except Exception as error:
                    raise _unfit(name, error) from error
    return set(terms)


def _draft(system: System, batch: Batch) -> Draft:
    """As the system draws it, for one process."""
    if not system.schedule.learns("generator", system.batches_seen):
        return system.undrafted()
    noise = torch.randn(len(batch.clean), system.model.generator.noise_dim)
    return system.drafted(noise, batch, torch.Generator().manual_seed(0))


def _unfit(name: str, error: Exception) -> ConfigError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ConfigError("CFG-FIT", f"objective {name}: cannot compare these samples ({what}); see --trace")
