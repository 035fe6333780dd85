"""Reverse KL from a classifier that was trained on other samples."""

import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.metric.principal import Principal

Floats = npt.NDArray[np.float64]
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, tried in this order; the smallest hardly learns
REACH = 5.0  # standard deviations; beyond, an outlier would rule the squares


class RatioDivergence(Metric):
    """Lower bound on KL(p_theta || p_data) in nats, and how often a classifier tells the two apart.

    A classifier is trained on one half of the samples. With T its log-odds for "generated", less those of
    the class sizes, the other half gives the Donsker-Varadhan form

        KL(p_theta || p_data) >= E_theta[T] - log E_data[exp T].

    Given the training half the inequality holds for any T, with equality at T = log p_theta/p_data. So a
    poor classifier only loosens the bound: the value is below the divergence, and below zero where T says
    less than nothing. Halves change roles and the two values are averaged.

    That is in expectation. The logarithm of a mean over N held-out real samples is too low on average, by
    about Var(exp T) / (2 N E[exp T]^2), and the value too high by as much: a tenth or so where exp(KL) is
    no longer small beside N. No such bound can vouch for more than about log N (McAllester & Stratos 2020),
    so T is cut off at log N on both sides and the value at log N.

    ``c2st`` is the share of held-out samples that the sign of T gets right, averaged over the two classes
    (Lopez-Paz & Oquab 2017): 0.5 where they cannot be told apart, 1 at worst.

    The classifier is logistic regression on the principal axes of the pooled training half, their squares
    and products, and random Fourier features of many widths (Rahimi & Recht 2007), which see modes that
    quadratics do not. Its penalty is chosen by two-fold likelihood within the training half.

    Args:
        max_dim: features of more dimensions are reduced to this many.
        waves: number of random Fourier features.
        seed: of the random Fourier features.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"kl_ratio": False, "c2st": False}

    def __init__(self, max_dim: PositiveInt = 8, waves: PositiveInt = 100, seed: Seed = 0) -> None:
        self.max_dim = max_dim
        self.waves = waves
        self.seed = seed

    def least(self, feature_dim: int) -> int:
        return 20  # five of each class to fit to, in either fold of a half

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        bounds, shares = [], []
        with threadpool_limits(1), warnings.catch_warnings():
            # A T short of the optimum gives a bound as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for own, other in ((0, 1), (1, 0)):
                log_ratio = self.learn(real[own::2], generated[own::2])
                of_real, of_generated = log_ratio(real[other::2]), log_ratio(generated[other::2])
                bounds.append(lower_bound(of_real, of_generated))
                shares.append(((of_generated > 0).mean() + (of_real <= 0).mean()) / 2)
        return {"kl_ratio": float(np.mean(bounds)), "c2st": float(np.mean(shares))}

    def learn(self, real: Tensor, generated: Tensor) -> Callable[[Tensor], Floats]:
        """T as a function of features, trained on ``[N, D]`` and ``[M, D]``."""
        axes = Principal.fit(torch.cat([real, generated]), self.max_dim)
        a, b = self.expand(axes(real)), self.expand(axes(generated))
        classifier = fit(a, b, max(STRENGTHS, key=lambda strength: likelihood(a, b, strength)))
        prior = math.log(len(b) / len(a))
        return lambda x: classifier.decision_function(self.expand(axes(x))) - prior

    def expand(self, coordinates: Tensor) -> Floats:
        """Coordinates ``[N, d]`` with their squares, products and waves, ``[N, d + d(d+1)/2 + waves]``."""
        x = coordinates.clamp(-REACH, REACH).numpy()
        dim = x.shape[1]
        rows, columns = np.triu_indices(dim)
        rng = np.random.default_rng(self.seed)
        width = math.sqrt(dim) * np.geomspace(0.15, 1.0, self.waves)
        frequency, phase = rng.standard_normal((dim, self.waves)) / width, rng.uniform(size=self.waves)
        waves = np.cos(x @ frequency + 2 * math.pi * phase)
        return np.concatenate([x, x[:, rows] * x[:, columns], waves], axis=1)


def lower_bound(real: Floats, generated: Floats) -> float:
    """E_theta[T] - log E_data[exp T] from values of T at held-out samples, ``[N]`` and ``[M]``."""
    most = math.log(len(real))
    real, generated = real.clip(-most, most), generated.clip(-most, most)
    return min(most, float(generated.mean() - np.log(np.exp(real).mean())))


def fit(real: Floats, generated: Floats, strength: float) -> Any:
    """Logistic regression on standardised features ``[N, F]`` and ``[M, F]``."""
    labels = np.repeat([0, 1], [len(real), len(generated)])
    regression = LogisticRegression(C=strength, solver="newton-cholesky")
    return make_pipeline(StandardScaler(), regression).fit(np.concatenate([real, generated]), labels)


def likelihood(real: Floats, generated: Floats, strength: float) -> float:
    """Log-likelihood of the labels, each half under the classifier that the other trained; per sample."""
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        classifier = fit(real[own::2], generated[own::2], strength)
        odds = [
            -classifier.decision_function(real[other::2]),
            classifier.decision_function(generated[other::2]),
        ]
        total -= float(np.logaddexp(0, -np.concatenate(odds)).sum())
    return total / (len(real) + len(generated))
