"""Every generator that conf/generator names, and what is special about each."""

import numpy as np
import parts
import pytest
import torch
from sklearn.mixture import GaussianMixture

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.dcgan import DCGAN
from stable_diffusion_lab.generator.latent import Latent
from stable_diffusion_lab.generator.mixture import Mixture

NAMES = sorted(path.stem for path in (CONF / "generator").glob("*.yaml"))


TEXT = ["data=text", "data.path=x", "data.length=8", "tokenizer.size=11"]
WORDS = {"sequence": TEXT, "recurrent": TEXT, "embedding": [*TEXT, "refiner=gru"]}


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    generator = build(
        compose("train", [*parts.small_command("generator", name), *WORDS.get(name, [])]).generator
    )
    assert isinstance(generator, Generator)
    generator.initialise([torch.randn(200, *generator.shape)], torch.arange(200) % 10)
    noise = torch.randn(6, generator.noise_dim)
    drafts = generator(noise)
    assert drafts.shape == (6, *generator.shape)
    assert drafts.isfinite().all()
    assert drafts.flatten(1).std(dim=0).max() > 0, "all drafts are the same"
    torch.testing.assert_close(generator(noise[2:4]), drafts[2:4])  # samples do not depend on their batch
    assert generator(noise[:0]).shape == (0, *generator.shape)


@pytest.mark.parametrize("side", [8, 20, 28, 32, 65])
def test_dcgan_draws_any_size(side: int) -> None:
    assert DCGAN(4, 4, (3, side, side + 1))(torch.randn(2, 4)).shape == (2, 3, side, side + 1)


def two_clusters(n: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(n, 3, generator=rng) @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 0.2]])
    codes[: n // 4] += 20
    return codes


def test_mixture_draws_what_em_fitted() -> None:
    codes = two_clusters(4000)
    mixture = Mixture(3, (3,), components=2)
    mixture.initialise([codes])
    drafts = mixture(torch.randn(40_000, 3, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(drafts.mean(0), codes.mean(0), atol=0.2, rtol=0)
    assert (drafts[:, 0] > 10).float().mean().item() == pytest.approx(0.25, abs=0.01)
    cluster = drafts[drafts[:, 0] < 10]
    torch.testing.assert_close(torch.cov(cluster.T), torch.cov(codes[1000:].T), atol=0.08, rtol=0)


def test_mixture_is_as_likely_as_scikit_learns_own_samples() -> None:
    codes = two_clusters(4000)
    mixture = Mixture(3, (3,), components=2)
    mixture.initialise([codes])
    judge = GaussianMixture(2, random_state=3).fit(codes.numpy())
    drafts = mixture(torch.randn(20_000, 3, generator=torch.Generator().manual_seed(2))).numpy()
    assert judge.score(drafts) == pytest.approx(judge.score(judge.sample(20_000)[0]), abs=0.05)
    assert np.isfinite(drafts).all()


def test_latent_begins_as_its_mixture() -> None:
    latent = Latent(3, (3,), components=2, hidden_dim=8, blocks=1)
    latent.initialise([two_clusters(1000)])
    noise = torch.randn(50, latent.noise_dim)
    assert torch.equal(latent(noise), latent.start(noise))


def test_a_latent_that_is_the_same_for_all_spoils_no_draft() -> None:
    latent = Latent(3, (3,), components=2, hidden_dim=8, blocks=1)
    torch.nn.init.normal_(latent.bend.network.leave.weight)
    latent.initialise([two_clusters(1000) * torch.tensor([1.0, 1.0, 0.0])])
    drafts = latent(torch.randn(500, latent.noise_dim))
    assert drafts.isfinite().all() and drafts[:, 2].abs().max() < 1


def test_mixture_splits_one_normal_into_a_component_and_an_independent_normal() -> None:
    mixture = Mixture(3, (3,), components=3)
    mixture.cumulative.copy_(torch.tensor([0.2, 0.3, 1.0]))
    component, normal = mixture.pick(torch.randn(100_000, generator=torch.Generator().manual_seed(4)))
    for k, weight in enumerate((0.2, 0.1, 0.7)):
        chosen = normal[component == k]
        assert len(chosen) / 100_000 == pytest.approx(weight, abs=0.005)
        assert chosen.mean().item() == pytest.approx(0, abs=0.04)
        assert chosen.var().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", [(2,), (3, 4)])
def test_dcgan_draws_images_only(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="generator=mlp"):
        DCGAN(8, 8, shape)


def test_a_mixture_knows_data_in_order_to_their_end() -> None:
    mixture = Mixture(2, (2,), components=2, limit=100)
    mixture.initialise([torch.randn(100, 2) - 5, torch.randn(101, 2) + 5])
    assert sorted(mixture.means.mean(dim=1).round().tolist()) == [-5, 5]
