"""Stable Diffusion Lab: a generator drafts, a variational autoencoder refines.

The index lists nouns and loads each when it is first used, so that importing the package costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Adapt": "stable_diffusion_lab.adapt.base",
    "Batch": "stable_diffusion_lab.batch",
    "Data": "stable_diffusion_lab.data.base",
    "DraftSpace": "stable_diffusion_lab.draft.base",
    "Extractor": "stable_diffusion_lab.extractor.base",
    "Generator": "stable_diffusion_lab.generator.base",
    "Metric": "stable_diffusion_lab.metric.base",
    "Modality": "stable_diffusion_lab.modality.base",
    "Objective": "stable_diffusion_lab.objective.base",
    "Pair": "stable_diffusion_lab.model",
    "Refiner": "stable_diffusion_lab.refiner.base",
    "Sample": "stable_diffusion_lab.batch",
    "StableDiffusion": "stable_diffusion_lab.article",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
