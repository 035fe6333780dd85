"""Critics: one value per sample, from that sample alone."""

import parts
import pytest
import torch
from torch import nn

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.objective.adversarial import Verdict
from stable_diffusion_lab.objective.critic.convolutional import Convolutional
from stable_diffusion_lab.objective.critic.mlp import MLP

PAIRS = {
    "convolutional": [(1, 8, 8), (3, 28, 28), (1, 9, 13)],
    "mlp": [(24,), (5, 3), (1, 8, 8)],
    "wavegan": [(1, 64), (2, 100), (1, 17)],
    "sequence": [(16, 7), (5, 30)],
}
CASES = [(name, shape) for name in parts.members("critic") for shape in PAIRS[name]]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_judges_each_sample_by_itself(name: str, shape: tuple[int, ...]) -> None:
    critic = parts.build("critic", name, parts.pair_in_pixels(shape))
    x = torch.randn(6, *shape)
    together = critic(x)
    alone = torch.cat([critic(row[None]) for row in x])
    assert together.shape == (6,)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_parameter_can_be_reached_through_the_penalty(name: str, shape: tuple[int, ...]) -> None:
    critic = parts.build("critic", name, parts.pair_in_pixels(shape))
    x = torch.randn(6, *shape, requires_grad=True)
    logits = critic(x)
    (logits.mean() + Verdict(x, logits).penalty()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in critic.parameters())
    weights = [p for p in critic.parameters() if p.dim() > 1]
    assert all(p.grad.abs().sum() > 0 for p in weights)


@pytest.mark.parametrize("side", [8, 28, 32, 33, 64])
def test_convolutions_stop_at_four_pixels_or_less(side: int) -> None:
    critic = Convolutional((1, side, side), width=4, max_width=8)
    maps = critic.net[:-2](torch.zeros(1, 1, side, side))
    assert 2 <= maps.shape[-1] <= 4
    assert maps.shape[1] <= 8


@pytest.mark.parametrize("shape", [(24,), (1, 7, 8)])
def test_convolutional_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="sides >= 8"):
        Convolutional(shape)


def test_critics_do_not_normalise_over_the_batch() -> None:
    modules = [*MLP((4,)).modules(), *Convolutional((1, 8, 8)).modules()]
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)


def test_penalty_of_a_linear_critic_is_its_squared_slope() -> None:
    w = torch.randn(5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    penalty = Verdict(x, x @ w).penalty()
    torch.testing.assert_close(penalty, w.square().sum())
    torch.testing.assert_close(torch.autograd.grad(penalty, w)[0], 2 * w)


def test_penalty_of_a_quadratic_critic() -> None:
    a = torch.randn(5, 5, dtype=torch.float64)
    a = (a + a.t()).requires_grad_()
    x = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    verdict = Verdict(x, ((x @ a) * x).sum(1))
    expected = (2 * x @ a).square().sum(1).mean()  # grad x'Ax = 2 A x
    torch.testing.assert_close(verdict.penalty(), expected)
    for mine, theirs in zip(
        torch.autograd.grad(verdict.penalty(), a), torch.autograd.grad(expected, a), strict=True
    ):
        torch.testing.assert_close(mine + mine.t(), theirs + theirs.t())
