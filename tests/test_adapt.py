"""Weights of the loss's terms."""

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.adapt.fixed import Fixed
from stable_diffusion_lab.adapt.gradient_balance import GradientBalance
from stable_diffusion_lab.batch import Draft


def draft() -> Draft:
    return Draft(torch.randn(4, 3), torch.randn(4, 3, dtype=torch.float64, requires_grad=True))


def pull(term: Tensor, code: Tensor) -> Tensor:
    return torch.autograd.grad(term, code, retain_graph=True)[0].norm()


def two_terms(code: Tensor, scale: float = 1000.0) -> dict[str, Tensor]:
    return {"a/generator": code.square().sum(), "b/generator/part": scale * code.sin().sum()}


@pytest.mark.parametrize("name", parts.members("adapt"))
def test_every_member_sums_one_term_as_it_is(name: str) -> None:
    adapt = parts.build("adapt", name, parts.pair_in_latents())
    d = draft()
    terms = {"a/generator": d.code.sum(), "a/critic": torch.tensor(2.0)}
    torch.testing.assert_close(adapt(terms, d), d.code.sum() + 2.0)
    assert set(adapt.last) == set(terms)
    assert not any(weight.requires_grad for weight in adapt.last.values())


@pytest.mark.parametrize("name", parts.members("adapt"))
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
    torch.testing.assert_close(adapt.norms["a/generator"].item(), (0.75 * 1 + 0.25 * 3) * unit)
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
    assert adapt.norms == {}


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


def test_balance_never_waits_for_the_device() -> None:
    """Tensors on ``meta`` have no values, so whatever needs one (``item``, ``if``) raises."""
    d = Draft(torch.empty(4, 3, device="meta"), torch.empty(4, 3, device="meta", requires_grad=True))
    assert GradientBalance({})(two_terms(d.code), d).device.type == "meta"
