"""Score difference: the gradient of a blurred reverse KL divergence, by two denoisers learnt on the way."""

import math
from pathlib import Path

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.objective.denoiser.base import Denoiser
from stable_diffusion_lab.objective.denoiser.pretrained import load_frozen
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.field import displace

_LEAST_SIZE = 0.05  # of the error that g is divided by, in units of the data's scale


class ScoreDifference(Comparing):
    """Moves drafts along grad log p_data - grad log p_draft, both blurred by noise of random levels.

    That is the gradient flow of KL(p_draft * N || p_data * N), averaged over the levels (Luo et al. 2023,
    arXiv 2305.18455; Yin et al. 2024, arXiv 2311.18828), with both scores given by denoisers: T learns the
    data, F learns the drafts, each from its own noisy points, detached. At x_s = x + s e,

        g = (F(x_s, s) - T(x_s, s)) / (mean |x - T(x_s, s)| + scale/20),
        loss = mean (x/scale - sg(x/scale - g))^2,

    with the mean over the dimensions of each draft. The *gradient* of the generator's term is what trains;
    its *value* is rms(F - T) / scale instead, which falls as the distributions meet. A denoiser's term is
    its denoising loss. If several stages are compared, each denoiser learns the mixture of its points.

    Args:
        feature: where to compare.
        data_denoiser: T.
        draft_denoiser: F, built for itself.
        lowest: smallest noise level, in units of the data's scale.
        highest: largest one; levels are drawn evenly on the logarithm.
        pretrained: file with the data denoiser's weights (see ``load_frozen``), which then do not learn;
            ``None`` to learn them here.

    Raises:
        ConfigError: if ``highest`` is below ``lowest``; later, if points have another shape than denoisers.
        CheckpointError: if the file does not do.
        RefusedError: if the file holds code.
    """

    def __init__(
        self,
        feature: Feature,
        data_denoiser: Denoiser,
        draft_denoiser: Denoiser,
        lowest: PositiveFloat = 0.05,
        highest: PositiveFloat = 2.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(feature)
        if highest < lowest:
            raise ConfigError("CFG-VALUE", f"highest: {highest} is below lowest: {lowest}; swap them")
        self.data_denoiser = data_denoiser
        self.draft_denoiser = draft_denoiser
        self.lowest = lowest
        self.highest = highest
        self.fixed = {"data_denoiser"} if pretrained else set()
        if pretrained:
            load_frozen(data_denoiser, Path(pretrained), "data_denoiser")

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        self.draft_denoiser.expect(generated)
        generated = widen(generated)
        points = {"draft_denoiser": generated.detach(), "data_denoiser": widen(real)}
        for name, denoiser in self.learners().items():
            denoiser.observe(points[name])
        lessons = {
            name: denoiser.loss(points[name], torch.randn_like(points[name]), self.levels(points[name]))
            for name, denoiser in self.learners().items()
        }
        return {"generator": self.follow(generated), **lessons}

    def learners(self) -> dict[str, Denoiser]:
        """The denoisers that learn here, by name."""
        both = {"draft_denoiser": self.draft_denoiser, "data_denoiser": self.data_denoiser}
        return {name: both[name] for name in both if name not in self.fixed}

    def levels(self, points: Tensor) -> Tensor:
        """A noise level for each of the points ``[B, ...]``, in their units, ``[B]``."""
        share = torch.rand(len(points), dtype=points.dtype, device=points.device)
        spread = math.log(self.highest / self.lowest)
        return self.data_denoiser.scale() * self.lowest * (spread * share).exp()

    def follow(self, generated: Tensor) -> Tensor:
        """The generator's term for ``[N, ...]`` at random noise and levels."""
        step, size = self.step(generated, torch.randn_like(generated), self.levels(generated))
        return displace(generated / self.data_denoiser.scale(), -step, size)

    @torch.no_grad()
    def step(self, generated: Tensor, noise: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """g ``[N, ...]`` at given noise ``[N, ...]`` of levels ``[N]``, and rms(F - T) / scale, a scalar."""
        per_point = (-1, *[1] * (generated.dim() - 1))
        noisy = generated + sigma.view(per_point) * noise
        target = self.data_denoiser(noisy, sigma)
        difference = self.draft_denoiser(noisy, sigma) - target
        scale = self.data_denoiser.scale()
        size = (generated - target).abs().flatten(1).mean(dim=1) + _LEAST_SIZE * scale
        return difference / size.view(per_point), difference.square().mean().sqrt() / scale
