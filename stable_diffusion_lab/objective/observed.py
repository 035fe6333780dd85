"""What only learning to restore asks for."""

from stable_diffusion_lab.batch import Draft, Observation
from stable_diffusion_lab.error import ConfigError


def observed(draft: Draft, asking: str) -> Observation:
    """What the drafts were made for.

    Args:
        draft: of this step.
        asking: the config's name of who wants to know.

    Raises:
        ConfigError: if nothing was observed: then no draft belongs to a sample.
    """
    if draft.observed is None:
        message = "drafts belong to no sample where nothing is observed; say task=inpainting, or leave it out"
        raise ConfigError("CFG-FIT", f"{asking}: {message}")
    return draft.observed
