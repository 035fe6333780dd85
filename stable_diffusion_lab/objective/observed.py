"""What objectives of restoration ask for."""

from stable_diffusion_lab.batch import Draft, Observation
from stable_diffusion_lab.error import ConfigError


def observed(draft: Draft, objective: str) -> Observation:
    """What the drafts were made for.

    Raises:
        ConfigError: if nothing was observed: then no draft belongs to a sample.
    """
    if draft.observed is None:
        message = "drafts belong to no sample where nothing is observed; say task=inpainting, or leave it out"
        raise ConfigError("CFG-FIT", f"objective.{objective}: {message}")
    return draft.observed
