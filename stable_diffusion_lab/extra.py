"""Libraries that only some parts need."""

from importlib import import_module
from typing import Any

from stable_diffusion_lab.error import ConfigError


def extra(module: str, name: str, where: str) -> Any:
    """A library that comes with an extra of this package.

    Args:
        module: what is imported.
        name: of the extra in pyproject.toml.
        where: it is needed, for the message.

    Raises:
        ConfigError: if it is not installed, or cannot be loaded.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # the second, if a library of the system is missing
        message = f'{where}: {module} is not installed; pip install "stable-diffusion-lab[{name}]"'
        raise ConfigError("CFG-EXTRA", message) from error
