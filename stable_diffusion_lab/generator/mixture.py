"""The honest rival: a mixture of Gaussians fitted to the refiner's latents, no network at all."""

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.generator.base import Generator


class Mixture(Generator):
    """Ex-post density estimation (Ghosh et al. 2020, section 4): EM on the latents of real data.

    A draft is still a function of noise: the first entry picks the component, the others place the
    draft in it. Nothing here learns by gradient; it is fitted once, when the generator would begin.

    Args:
        shape: shape of one code, ``(latent_dim,)``.
        components: number of Gaussians with full covariance.
        limit: EM sees at most this many codes.
        iterations: EM stops here at the latest.
        seed: of the k-means initialisation.
    """

    cumulative: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        components: PositiveInt = 64,
        limit: PositiveInt = 20_000,
        iterations: PositiveInt = 40,
        seed: Seed = 0,
    ) -> None:
        (latent_dim,) = shape
        super().__init__(noise_dim=latent_dim + 1, shape=shape)
        self.components = components
        self.limit = limit
        self.iterations = iterations
        self.seed = seed
        self.register_buffer("cumulative", torch.linspace(1 / components, 1, components))
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("factors", torch.eye(latent_dim).repeat(components, 1, 1))

    def forward(self, noise: Tensor) -> Tensor:
        uniform = torch.special.ndtr(noise[:, 0])
        component = torch.searchsorted(self.cumulative, uniform).clamp(max=self.components - 1)
        offset = torch.einsum("bij,bj->bi", self.factors[component], noise[:, 1:])
        return self.means[component] + offset

    @torch.no_grad()
    def initialise(self, codes: Tensor) -> None:
        """Fit to real codes ``[N, latent_dim]`` by EM."""
        em = GaussianMixture(self.components, reg_covar=1e-4, max_iter=self.iterations, random_state=self.seed)
        em.fit(codes[: self.limit].double().cpu().numpy())
        self.cumulative.copy_(torch.from_numpy(em.weights_).cumsum(0))
        self.means.copy_(torch.from_numpy(em.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.from_numpy(em.covariances_)))
