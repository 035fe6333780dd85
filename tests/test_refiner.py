"""Every refiner that conf/refiner names."""

import parts
import pytest
import torch

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.config_path import CONF
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.label import one_hot
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.refiner.base import Refiner
from stable_diffusion_lab.refiner.convolutional import Convolutional

NAMES = sorted(path.stem for path in (CONF / "refiner").glob("*.yaml"))
OF_TEXT = ["data=text", "data.path=x", "data.length=16", "tokenizer.size=11", "refiner.latent_dim=16"]
WORDS = dict.fromkeys(("autoregressive", "gru", "transformer"), OF_TEXT)


def refiner_and_samples(name: str, n: int) -> tuple[Refiner, torch.Tensor]:
    """A refiner with samples of the kind that it is for."""
    refiner = build(compose("train", [*parts.small_command("refiner", name), *WORDS.get(name, [])]).refiner)
    if name in WORDS:
        return refiner, one_hot(torch.randint(0, 11, (n, 16)), 11)
    return refiner, torch.rand(n, *refiner.shape) * 2 - 1


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    refiner, x = refiner_and_samples(name, 5)
    assert isinstance(refiner, Refiner)
    posterior = refiner.encode(x)
    assert posterior.mean.shape == posterior.log_variance.shape == (5, refiner.latent_dim)
    refined = refiner(x)
    assert refined.shape == x.shape
    assert refined.abs().max() <= 1
    torch.testing.assert_close(refined[1:3], refiner(x[1:3]))  # samples do not depend on their batch
    assert refiner.elbo(x, x).shape == (5,)
    assert (refiner.count(x) <= refiner.entries).all()
    noise = torch.randn(5, refiner.noise_dim)
    draft = refiner.draw(posterior.mean, noise)
    assert draft.shape == refiner.redraw(draft, noise).shape == x.shape


def test_a_refiner_inside_another_says_what_its_likelihood_is_of() -> None:
    inner = "refiner@refiner.inner=instantaneous_frequency"
    refiner = build(
        compose("train", ["data=spoken_digits", "data.length=512", "refiner=skip", inner]).refiner
    )
    waves = torch.rand(3, *refiner.shape)
    assert refiner.entries == 4 * waves[0].numel() and (refiner.count(waves) == refiner.entries).all()


@pytest.mark.parametrize("name", NAMES)
def test_learns_to_explain_a_few_samples(name: str) -> None:
    torch.manual_seed(0)
    refiner, x = refiner_and_samples(name, 8)
    before = refiner.elbo(x, x).mean().item()
    optimizer = torch.optim.Adam(refiner.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        (-refiner.elbo(x, x).mean()).backward()
        optimizer.step()
    assert refiner.elbo(x, x).mean().item() > before / 2  # both negative: less than half the nats are left


def test_posterior_kl_is_the_closed_form() -> None:
    mean, log_variance = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    truth = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(Posterior(mean, log_variance).kl(), truth)
    h = torch.randn(4, 3).double()
    constant = 1.5 * torch.log(torch.tensor(2 * torch.pi)).double()
    torch.testing.assert_close(Posterior(mean, log_variance).log_prob(h), q.log_prob(h).sum(1) + constant)


@pytest.mark.parametrize("shape", [(2,), (1, 30, 28), (1, 28, 30)])
def test_convolutions_refuse_what_they_cannot_halve_twice(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="refiner=mlp"):
        Convolutional(shape, 4, 4, 8, 0.1)
