"""Gaps filled smoothly."""

import pytest
import torch

from stable_diffusion_lab.layer.fill import fill

SHAPES = [(3, 2, 8, 8), (2, 1, 7, 13), (2, 1, 33), (1, 2, 1, 5)]


def gaps(shape: tuple[int, ...]) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return (torch.rand(shape[0], 1, *shape[2:], generator=rng) > 0.5).float()


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_seen_stays_and_a_constant_is_filled_with_itself(shape: tuple[int, ...]) -> None:
    seen = gaps(shape)
    x = torch.randn(shape)
    filled = fill(x * seen, seen)
    assert torch.equal(filled[seen.expand(shape) > 0], x[seen.expand(shape) > 0])
    torch.testing.assert_close(fill(0.7 * seen.expand(shape), seen), torch.full(shape, 0.7))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_fill_leaves_the_range_of_what_is_seen(shape: tuple[int, ...]) -> None:
    seen, x = gaps(shape), torch.randn(shape)
    filled = fill(x * seen, seen).flatten(2)
    kept = torch.where(seen > 0, x, torch.nan).flatten(2)
    assert (filled.amax(2) <= kept.nan_to_num(-9).amax(2) + 1e-5).all()
    assert (filled.amin(2) >= kept.nan_to_num(9).amin(2) - 1e-5).all()


def test_where_nothing_is_seen_the_fill_is_zero_and_has_a_gradient() -> None:
    x = torch.zeros(2, 1, 6, 5, requires_grad=True)
    filled = fill(x, torch.zeros(2, 1, 6, 5))
    assert not filled.any()
    filled.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_a_ramp_is_filled_better_than_by_its_mean() -> None:
    ramp = torch.linspace(-1, 1, 64).view(1, 1, 64)
    seen = torch.ones(1, 1, 64)
    seen[..., 28:36] = 0
    gap = (fill(ramp * seen, seen) - ramp)[..., 28:36].abs().max()
    assert gap < 0.15
