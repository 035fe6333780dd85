"""How well a hyperplane tells generated from real samples."""

from typing import ClassVar

import torch
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits
from torch import Tensor

from stable_diffusion_lab.metric.base import Metric

LEAST = 1e-12  # standard deviation of features that are all the same


class InceptionDiscriminative(Metric):
    """Inception discriminative scores, in the features of the extractor (Zhao et al. 2021, section 4.2).

    A linear support vector machine is trained on the features of both, and asked about the same again.
    ``u_ids`` is the share that it gets wrong: 0.5 where nothing tells them apart, 0 where they can be
    separated. ``p_ids`` is the share of pairs of which it finds the generated sample more real than the real
    one, with ties for a half: 0.5 and 0 likewise.
    Having been trained on them the machine knows them too well, so values of few samples are lower.

    Sample i is paired with sample i, which says something where the one was made to restore the other. Where
    the counts differ there are no pairs, and ``p_ids`` is the mean over all there could be.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"u_ids": True, "p_ids": True}

    def least(self, feature_dim: int) -> int:
        return (
            feature_dim + 1
        )  # fewer points of each can be separated however they are labelled, more or less

    def compute(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        points = torch.cat([real, generated])
        points = points - points.mean(dim=0)
        points = points / points.square().mean().sqrt().clamp_min(LEAST)
        labels = [1] * len(real) + [0] * len(generated)
        machine = LinearSVC(dual=False, tol=1e-8)
        with threadpool_limits(1):
            values = torch.from_numpy(machine.fit(points.numpy(), labels).decision_function(points.numpy()))
        of_real, of_generated = values[: len(real)], values[len(real) :]
        wrong = (of_real <= 0).sum() + (of_generated > 0).sum()
        paired = of_generated - of_real if len(real) == len(generated) else of_generated[:, None] - of_real
        won = (paired > 0).double() + (paired == 0).double() / 2
        return {"u_ids": wrong.item() / len(values), "p_ids": won.mean().item()}
