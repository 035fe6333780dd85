"""The honest rival: a mixture of Gaussians fitted to the refiner's latents, no network at all."""

import warnings
from collections.abc import Iterable

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.bend import LEAST_SPREAD
from stable_diffusion_lab.layer.quantile import pick
from stable_diffusion_lab.layer.spaced import spaced


class Mixture(Generator):
    """Ex-post density estimation (Ghosh et al. 2020, section 4): EM on the latents of real data.

    A draft is still a function of noise, with as many entries as the code: where the first falls among the
    quantiles picks the component, and where it falls within that quantile range is standard normal
    again. Nothing here learns by gradient; it is fitted once, when the generator would begin.

    Args:
        noise_dim: has to equal the width of the code.
        shape: shape of one code, ``(latent_dim,)``.
        components: number of Gaussians with full covariance.
        limit: EM sees at most this many codes, evenly spaced among those given.
        iterations: EM stops here at the latest.
        seed: of the k-means initialisation.

    Raises:
        ConfigError: if ``shape`` is not ``(noise_dim,)``.
    """

    cumulative: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        noise_dim: PositiveInt,
        shape: tuple[int, ...],
        components: PositiveInt = 64,
        limit: PositiveInt = 20_000,
        iterations: PositiveInt = 20,
        seed: Seed = 0,
    ) -> None:
        super().__init__(noise_dim, shape)
        if self.shape != (noise_dim,):
            message = (
                f"generator.noise_dim: a mixture wants as much noise as code, {list(shape)}, got {noise_dim}"
            )
            raise ConfigError("CFG-FIT", message)
        self.components = components
        self.limit = limit
        self.iterations = iterations
        self.seed = seed
        self.register_buffer("cumulative", torch.arange(1, components + 1).double() / components)
        self.register_buffer("means", torch.zeros(components, noise_dim))
        self.register_buffer("factors", torch.eye(noise_dim).repeat(components, 1, 1))

    def forward(self, noise: Tensor) -> Tensor:
        component, first = self.pick(noise[:, 0])
        within = torch.cat([first[:, None], noise[:, 1:]], dim=1)
        return self.means[component] + torch.einsum("bij,bj->bi", self.factors[component], within)

    def pick(self, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Split standard normals ``[B]`` into components ``[B]`` and standard normals independent of them."""
        return pick(normal, self.cumulative)

    def check(self, count: int, labels: Tensor | None) -> None:
        seen = min(count, self.limit)
        if seen < max(self.components, 2):
            found = f"generator.components: {self.components}, to be fitted to {seen} samples"
            raise ConfigError("CFG-FIT", f"{found}; lower it, or take more data")

    @torch.no_grad()
    def initialise(self, codes: Iterable[Tensor], labels: Tensor | None = None) -> None:
        """Fit to real codes by EM."""
        known = torch.cat(list(codes))
        # Evenly spaced: data in order of class or chapter must not be known by its beginning alone.
        seen = known[spaced(len(known), self.limit)].double().cpu().numpy()
        em = GaussianMixture(
            self.components, reg_covar=LEAST_SPREAD**2, max_iter=self.iterations, random_state=self.seed
        )
        # Many small products: several BLAS threads cost seven times as much.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the limit on iterations is meant
            em.fit(seen)
        self.cumulative.copy_(torch.from_numpy(em.weights_).cumsum(0))
        self.means.copy_(torch.from_numpy(em.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.from_numpy(em.covariances_)))
