"""Classes of generated samples, for the symptoms that count them."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from stable_diffusion_lab.metric.neighbours import squared_distances
from stable_diffusion_lab.training.health.base import Findings


class Counts(NamedTuple):
    """Number of samples of each class, held-out and generated, both ``[classes]`` int64."""

    real: Tensor
    generated: Tensor


def class_counts(findings: Findings) -> Iterator[Counts]:
    """Counts for each stage; nothing where the data has no labels.

    A generated sample belongs to the class of the nearest held-out one in the judge's features: every
    judge can say that, not only one that has learnt the classes.
    """
    if findings.labels is not None:
        real = torch.bincount(findings.labels)
        for generated in findings.generated.values():
            nearest = [near.argmin(dim=1) for _, near in squared_distances(generated, findings.real)]
            classes = findings.labels[torch.cat(nearest)]
            yield Counts(real, torch.bincount(classes, minlength=len(real)))
