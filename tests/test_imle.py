"""Implicit maximum likelihood: who is nearest, who pulls, and where the gradient goes."""

import parts
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.energy import Energy
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.imle import IMLE, nearest

PLAIN = {"feature": Identity(), "tolerance": 0.0}


def cloud(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair_of(generator: Generator) -> Pair:
    return Pair(generator, parts.LinearRefiner(generator.shape, 2), Pixels(["draft"])).double()


def linear_pair() -> Pair:
    torch.manual_seed(0)
    return pair_of(parts.LinearGenerator(4, (3,)))


def drawn(pair: Pair, n: int, seed: int = 1) -> Draft:
    noise = cloud(n, pair.generator.noise_dim, seed)
    return Draft(noise, pair.generator(noise))


def slopes(term: Tensor, pair: Pair) -> Tensor:
    found = torch.autograd.grad(term, list(pair.generator.parameters()), retain_graph=True)
    return torch.cat([slope.flatten() for slope in found])


def test_nearest_is_that_of_scikit_learn() -> None:
    x, y = cloud(200, 5), cloud(60, 5, seed=1)
    known = NearestNeighbors(n_neighbors=1).fit(x.numpy()).kneighbors(y.numpy(), return_distance=False)
    assert nearest([Comparison(x, y)]).tolist() == known[:, 0].tolist()


def test_nearest_of_several_layers_is_that_of_their_mean() -> None:
    x, y, wide_x, wide_y = cloud(200, 2), cloud(60, 2, seed=1), cloud(200, 8, seed=2), cloud(60, 8, seed=3)
    joint_x = torch.cat([x / 2**0.5, wide_x / 8**0.5], 1)
    joint_y = torch.cat([y / 2**0.5, wide_y / 8**0.5], 1)
    found = nearest([Comparison(x, y), Comparison(wide_x, wide_y)])
    assert torch.equal(found, nearest([Comparison(joint_x, joint_y)]))
    assert not torch.equal(found, nearest([Comparison(x, y)]))


def test_loss_is_the_mean_squared_distance_to_the_nearest_of_the_pool() -> None:
    pair, objective, y = linear_pair(), IMLE(**PLAIN, pool=40), cloud(9, seed=2)
    draft = drawn(pair, 5)
    torch.manual_seed(3)
    term = objective(pair, Batch(y, None), draft)["generator"]
    torch.manual_seed(3)
    pool = objective.candidates(pair, draft)
    assert pool.code.shape == (45, 3)
    torch.testing.assert_close(pool.code, pair.generator(pool.noise))
    squares = (pair.generator(pool.noise)[None] - y[:, None]).square().mean(2)
    expected = squares.min(dim=1).values.mean()
    torch.testing.assert_close(term, expected)
    torch.testing.assert_close(slopes(term, pair), slopes(expected, pair))


def test_drafts_of_this_step_that_are_chosen_carry_the_pull() -> None:
    pair, y = linear_pair(), cloud(9, seed=2)
    draft = drawn(pair, 300)
    term = IMLE(**PLAIN, pool=1)(pair, Batch(y, None), draft)["generator"]
    (pull,) = torch.autograd.grad(term, draft.code, retain_graph=True)
    chosen = nearest([Comparison(draft.code.detach(), y)])
    assert set(pull.abs().sum(1).nonzero().flatten().tolist()) <= set(chosen.tolist())
    assert pull.abs().sum() > 0
    terms = {"imle/generator": term, "energy/generator": Energy(Identity()).terms(draft.code, y)["generator"]}
    weights = GradientBalance({}).weigh(terms, draft)
    assert all(0.01 < weight < 100 for weight in weights.values())


class Collapsed(Generator):
    """Draws one and the same point."""

    def __init__(self, point: Tensor) -> None:
        super().__init__(2, tuple(point.shape))
        self.point = nn.Parameter(point)

    def forward(self, noise: Tensor) -> Tensor:
        return self.point + 0 * noise[:, :1]


@pytest.mark.parametrize("modes", [2, 5])
def test_every_mode_pulls_however_far_it_is(modes: int) -> None:
    """A critic's or a kernel's pull may die away with distance; this one grows."""
    centres = 100 * cloud(modes)
    pair = pair_of(Collapsed(centres[0].clone()))
    batch = Batch(centres.clone(), None)
    term = IMLE(**PLAIN, pool=8)(pair, batch, drawn(pair, 4))["generator"]
    slope = slopes(term, pair)
    torch.testing.assert_close(slope, 2 * (centres[0] - centres.mean(0)) / 3)


def test_a_served_point_no_longer_pulls_and_the_others_do() -> None:
    y = torch.tensor([[0.0], [0.1], [4.0], [10.0]], dtype=torch.float64)
    pair = pair_of(Collapsed(torch.zeros(1, dtype=torch.float64)))
    # Distances 0, 0.1, 4, 10 have the mean 3.525; half of it is what the third and the fourth exceed.
    term = IMLE(Identity(), pool=8, tolerance=0.5)(pair, Batch(y, None), drawn(pair, 4))["generator"]
    assert term.item() == pytest.approx((4**2 + 10**2) / 4)
    torch.testing.assert_close(slopes(term, pair), torch.tensor([-2 * (4 + 10) / 4], dtype=torch.float64))


def test_the_threshold_falls_with_the_distances() -> None:
    objective = IMLE(Identity(), tolerance=0.5).double()
    far = torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert objective.unserved(far).tolist() == [0, 1]  # 1 is half of 2, and no more
    for _ in range(100):
        objective.unserved(0.1 * far)
    assert objective.reach.value.item() == pytest.approx(0.2, abs=0.02)
    assert objective.unserved(far).tolist() == [1, 1]


def test_plain_pulls_do_not_depend_on_the_order_of_points() -> None:
    pair, y = linear_pair(), cloud(9, seed=2)
    draft, values = drawn(pair, 5), []
    for real in (y, y.flip(0)):
        torch.manual_seed(3)
        values.append(IMLE(**PLAIN, pool=40)(pair, Batch(real, None), draft)["generator"])
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(("real", "generated"), [(1, 1), (1, 4), (4, 1)])
def test_single_points_are_enough(real: int, generated: int) -> None:
    pair = linear_pair()
    term = IMLE(Identity(), pool=1)(pair, Batch(cloud(real), None), drawn(pair, generated))["generator"]
    assert term.isfinite()
    assert slopes(term, pair).isfinite().all()


def test_halves_of_a_batch_average_to_the_whole_if_the_pool_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, y = linear_pair(), cloud(8, seed=2)
    draft = drawn(pair, 6)
    pool = drawn(pair, 30, seed=4)
    monkeypatch.setattr(IMLE, "candidates", lambda *_: Draft(pool.noise, pool.code.detach()))
    monkeypatch.setattr(IMLE, "again", lambda self, model, draft, pool, i: Draft(pool.noise[i], pool.code[i]))
    whole, *halves = (
        IMLE(**PLAIN)(pair, Batch(part, None), draft)["generator"] for part in (y, y[::2], y[1::2])
    )
    torch.testing.assert_close(torch.stack(halves).mean(), whole)
