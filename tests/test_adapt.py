"""Weights of the loss's terms: the contract of all members, and what the balancing ones promise."""

from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.adapt.fixed import Fixed
from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.adapt.uncertainty import Uncertainty
from stable_diffusion_lab.batch import Draft

NAMES = parts.members("adapt")


def draft() -> Draft:
    return Draft(torch.randn(4, 3), torch.randn(4, 3, dtype=torch.float64, requires_grad=True))


def pull(term: Tensor, code: Tensor) -> Tensor:
    return torch.autograd.grad(term, code, retain_graph=True)[0].norm()


def two_terms(code: Tensor, scale: float = 1000.0) -> dict[str, Tensor]:
    return {"a/generator": code.square().sum(), "b/generator/part": scale * code.sin().sum()}


def member(name: str) -> Adapt:
    adapt: Adapt = parts.build("adapt", name, parts.pair_in_latents())
    return adapt


def whole(seed: int, rows: slice = slice(None)) -> tuple[dict[str, Tensor], Draft, Tensor]:
    """Terms of a step in which everybody learns, the draft, and the refiner's only weight."""
    rng = torch.Generator().manual_seed(seed)
    code = torch.randn(4, 3, generator=rng)[rows].requires_grad_()
    weight = torch.randn(3, generator=rng).requires_grad_()
    terms = {
        "evidence/refiner/distortion": 5 * (code.detach() - weight).square().mean(),
        "evidence/refiner/rate": (weight * code.detach()).exp().mean(),
        "other/refiner": weight.square().mean(),
        "a/generator": code.square().mean(),
        "b/generator/part": 100 * code.sin().add(2).mean(),
        "b/generator/rest": code.cos().mean(),
        "a/critic": torch.tensor(2.0),
    }
    return terms, Draft(code.detach(), code), weight


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_finite_and_without_a_graph_and_the_sum_has_a_gradient(name: str) -> None:
    adapt = member(name)
    for seed in range(3):
        terms, d, weight = whole(seed)
        total = adapt(terms, d)
        assert adapt.last.keys() == terms.keys()
        assert all(it.isfinite() and it >= 0 and not it.requires_grad for it in adapt.last.values())
        torch.testing.assert_close(total, sum(adapt.last[key] * term for key, term in terms.items()))
        assert all(slope.any() for slope in torch.autograd.grad(total, [d.code, weight]))
        assert not any(torch.as_tensor(value).requires_grad for value in adapt.status().values())
    assert not list(adapt.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_what_was_learnt_survives_a_checkpoint(name: str, tmp_path: Path) -> None:
    adapt, resumed = member(name), member(name)
    scores = {"draft/fd": 2.0, "refined/fd": 3.0}
    for it in (adapt, resumed):
        it.expect(dict.fromkeys(scores, False))
    for seed in range(7):
        adapt(*whole(seed)[:2])
        adapt.observe(scores)
    torch.save(adapt.state_dict(), tmp_path / "state")
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert resumed.rate == adapt.rate
    for it in (adapt, resumed):
        it(*whole(7)[:2])
    assert resumed.last == adapt.last
    assert resumed.status() == adapt.status()


@pytest.mark.parametrize("name", NAMES)
def test_never_waits_for_the_device(name: str) -> None:
    """Tensors on ``meta`` have no values, so whatever needs one (``item``, ``if``) raises."""
    code = torch.empty(4, 3, device="meta", requires_grad=True)
    terms = {**two_terms(code), "c/refiner/distortion": code.sum(), "c/refiner/rate": code.exp().sum()}
    adapt = member(name).to("meta")
    assert adapt(terms, Draft(code, code)).device.type == "meta"


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = {}
    for name in NAMES:
        adapt = member(name)
        for seed in range(3):
            adapt(*whole(seed, slice(rank, None, 2))[:2])
        found[name] = adapt.last
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_all_ranks_weigh_alike(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert one == two
    assert set(one) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_member_sums_one_term_as_it_is(name: str) -> None:
    adapt = parts.build("adapt", name, parts.pair_in_latents())
    d = draft()
    terms = {"a/generator": d.code.sum(), "a/critic": torch.tensor(2.0)}
    torch.testing.assert_close(adapt(terms, d), d.code.sum() + 2.0)
    assert set(adapt.last) == set(terms)
    assert not any(weight.requires_grad for weight in adapt.last.values())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_weigh_is_zero(name: str) -> None:
    adapt = parts.build("adapt", name, parts.pair_in_latents())
    empty = Draft(torch.empty(0, 3), torch.empty(0, 3))
    assert adapt({}, empty) == 0
    assert adapt({"evidence/refiner": torch.tensor(3.0)}, empty) == 3


def test_share_is_that_of_the_longest_prefix() -> None:
    adapt = Fixed({"a": 2.0, "a/generator": 3.0, "a/generator/cycle": 5.0})
    names = ["a/critic", "a/generator", "a/generator/evidence", "a/generator/cycle", "ab/generator"]
    assert [adapt.share(name) for name in names] == [2.0, 3.0, 3.0, 5.0, 1.0]


def test_fixed_is_the_weighted_sum() -> None:
    terms = {"a/generator": torch.tensor(2.0), "b/generator": torch.tensor(7.0)}
    assert Fixed({"b": 0.5})(terms, draft()) == 2.0 + 3.5


def test_balance_makes_all_terms_pull_equally_and_keeps_the_sum() -> None:
    d = draft()
    terms = two_terms(d.code)
    adapt = GradientBalance({})
    adapt(terms, d)
    before = [pull(term, d.code) for term in terms.values()]
    after = [pull(adapt.last[name] * term, d.code) for name, term in terms.items()]
    torch.testing.assert_close(after[0], after[1])
    torch.testing.assert_close(sum(after), sum(before))


def test_balanced_direction_does_not_know_the_units_of_a_term() -> None:
    d = draft()
    one, other = (
        torch.autograd.grad(GradientBalance({})(two_terms(d.code, scale), d), d.code)[0]
        for scale in (1e-2, 1e3)
    )
    torch.testing.assert_close(one / one.norm(), other / other.norm())


def test_shares_are_ratios_of_pull() -> None:
    d = draft()
    adapt = GradientBalance({"b": 0.25})
    terms = two_terms(d.code)
    adapt(terms, d)
    a, b = (pull(adapt.last[name] * term, d.code) for name, term in terms.items())
    torch.testing.assert_close(b, 0.25 * a)


def test_balance_averages_over_steps() -> None:
    d = draft()
    adapt = GradientBalance({}, decay=0.75)
    adapt({"a/generator": d.code.sum(), "b/generator": 4 * d.code.sum()}, d)
    adapt({"a/generator": 3 * d.code.sum(), "b/generator": 4 * d.code.sum()}, d)
    unit = 12**0.5  # norm of twelve ones
    torch.testing.assert_close(adapt.sizes["a/generator"].item(), (0.75 * 1 + 0.25 * 3) * unit)
    torch.testing.assert_close(adapt.last["a/generator"].item(), (1.5 + 4) / 2 / 1.5)


def test_factors_are_clamped_and_a_flat_term_does_no_harm() -> None:
    d = draft()
    adapt = GradientBalance({}, limit=10.0)
    terms = {"a/generator": d.code.sum(), "b/generator": 0 * d.code.sum(), "c/generator": 1e3 * d.code.sum()}
    total = adapt(terms, d)
    assert total.isfinite()
    assert [weight.item() for weight in adapt.last.values()] == pytest.approx([10.0, 10.0, 1001 / 3000])


def test_other_players_keep_their_share() -> None:
    d = draft()
    adapt = GradientBalance({"evidence": 0.5})
    terms = {**two_terms(d.code), "evidence/refiner": torch.tensor(1.0), "a/critic": torch.tensor(1.0)}
    adapt(terms, d)
    assert adapt.last["evidence/refiner"] == 0.5
    assert adapt.last["a/critic"] == 1.0


def test_a_single_term_costs_nothing() -> None:
    """No gradient is asked for: the term has no graph here, and asking would raise."""
    adapt = GradientBalance({"a": 3.0})
    assert adapt({"a/generator": torch.tensor(2.0)}, draft()) == 6.0
    assert adapt.sizes == {}


def test_running_norms_survive_a_checkpoint() -> None:
    d = draft()
    adapt, resumed = GradientBalance({}), GradientBalance({})
    adapt(two_terms(d.code), d)
    resumed.load_state_dict(adapt.state_dict())
    following = draft()
    assert adapt(two_terms(following.code), following) == resumed(two_terms(following.code), following)


def test_weighing_leaves_the_graph_for_the_backward_pass() -> None:
    d = draft()
    GradientBalance({})(two_terms(d.code), d).backward()
    assert d.code.grad is not None


def losses(scale: float = 1.0) -> dict[str, Tensor]:
    """Two losses for the generator, one of them in two parts, and one for each of the others."""
    return {
        "a/generator": torch.tensor(2.0) * scale,
        "b/generator/one": torch.tensor(-9.0),
        "b/generator/two": torch.tensor(3.0),
        "a/critic": torch.tensor(50.0),
        "b/critic": torch.tensor(0.1),
        "evidence/refiner/rate": torch.tensor(0.2),
        "evidence/refiner/distortion": torch.tensor(0.5),
    }


def test_uncertainty_is_the_optimum_of_learnt_variances_up_to_the_scale() -> None:
    s = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    terms = {"a/generator": torch.tensor(0.3), "b/generator": torch.tensor(8.0)}
    values = torch.stack([*terms.values()]).double()
    optimizer = torch.optim.LBFGS([s], max_iter=100, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = ((-s).exp() * values + s).sum()
        objective.backward()
        return objective

    optimizer.step(closure)
    learnt = (-s).exp().detach()
    adapt = Uncertainty({})
    total = adapt(terms, draft())
    found = torch.stack([*adapt.last.values()]).double()
    torch.testing.assert_close(found / found[0], learnt / learnt[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(total, torch.tensor(8.3))


def test_losses_of_a_player_count_alike_and_parts_of_one_loss_as_one() -> None:
    adapt = Uncertainty({"b/generator/two": 0.5})
    adapt(losses(), draft())
    mean = (2 + 6) / 2
    expected = {"a/generator": mean / 2, "b/generator/one": mean / 6, "b/generator/two": 0.5 * mean / 6}
    assert {name: adapt.last[name].item() for name in expected} == pytest.approx(expected)
    assert all(adapt.last[name] == 1 for name in losses() if name not in expected)


def test_uncertainty_averages_over_steps() -> None:
    adapt = Uncertainty({}, decay=0.75)
    adapt(losses(), draft())
    adapt(losses(scale=3.0), draft())
    assert adapt.sizes["a/generator"].item() == pytest.approx(0.75 * 2 + 0.25 * 6)
