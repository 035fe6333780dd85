"""Area under the divergence frontier."""

import warnings
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import trapezoid
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat, PositiveInt, Seed
from stable_diffusion_lab.metric.base import Metric

Floats = npt.NDArray[np.float64]
RESTARTS = 5  # of k-means, of which the best counts, as in the authors' program
MIXTURES = 1001  # along the frontier


class Frontier(Metric):
    """MAUVE (Pillutla et al. 2021): how little is lost of either side by a mixture of both, at best 1.

    Features of both are quantised together by k-means. With P and Q the shares of real and of generated
    samples in each cluster, and mixtures R = l P + (1 - l) Q, ``mauve`` is the area under the curve

        (exp(-c KL(Q|R)), exp(-c KL(P|R))),   0 < l < 1,

    prolonged to both axes: what samples have that data lack, traded for what they lack that data have. Half a
    sample is added to each cluster on each side (Krichevsky & Trofimov 1981; Liu et al. 2021, for frontiers).
    The value depends on the number of clusters: compare values of equal sample counts, next to their floor.
    Sets without a cluster in common score 0.012 with ten samples to a cluster and c = 5, not 0: half a
    sample, and mixtures that have half of each, are something.

    Args:
        crowd: samples of the smaller side for each cluster; ten in the authors' program.
        scale: c.
        seed: of k-means.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"mauve": True}

    def __init__(self, crowd: PositiveInt = 10, scale: PositiveFloat = 5.0, seed: Seed = 0) -> None:
        self.crowd = crowd
        self.scale = scale
        self.seed = seed

    def least(self, feature_dim: int) -> int:
        return 2 * self.crowd  # of one cluster nothing can be said

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        clusters = min(len(real), len(generated)) // self.crowd
        found = quantise(torch.cat([real, generated]), clusters, self.seed)
        p, q = (np.bincount(part, minlength=clusters) + 0.5 for part in np.split(found, [len(real)]))
        return {"mauve": area(p / p.sum(), q / q.sum(), self.scale)}


def quantise(points: Tensor, clusters: int, seed: int) -> npt.NDArray[np.int64]:
    """The number of the cluster of each of the points ``[N, D]``; neither order nor rotation matters."""
    order = (points - points.mean(dim=0)).square().sum(dim=1).argsort(stable=True)
    machine = KMeans(clusters, n_init=RESTARTS, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        labels = machine.fit_predict(points[order].numpy())
    found = np.empty(len(labels), dtype=np.int64)
    found[order.numpy()] = labels
    return found


def area(p: Floats, q: Floats, scale: float) -> float:
    """Area under the frontier of two distributions ``[K]`` without zeros."""
    share = np.linspace(0, 1, MIXTURES)[:, None]
    mixture = share * p + (1 - share) * q
    x, y = (np.exp(-scale * (it * np.log(it / mixture)).sum(axis=1)) for it in (q, p))
    return float(x[-1] + trapezoid(y[::-1], x[::-1]))  # x falls from 1; left of its end y stays at 1
