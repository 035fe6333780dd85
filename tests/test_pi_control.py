"""The controller of the refiner's rate."""

import math

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.adapt.pi_control import PIControl
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refinement.evidence import Evidence

EMPTY = Draft(torch.empty(0, 2), torch.empty(0, 4))


def control(**values: float) -> PIControl:
    gains = {"target": 5.0, "proportional": 0.5, "integral": 0.1, "low": 0.0, "high": 4.0}
    adapt = PIControl({}, **{**gains, **values})
    adapt.entries = 8
    return adapt


def rate(nats: float) -> dict[str, Tensor]:
    """The term of a rate in nats per sample of eight dimensions."""
    return {"evidence/refiner/rate": torch.tensor(nats / 8)}


def test_steps_follow_the_formula() -> None:
    adapt, accumulated = control(), 1.0
    for nats in (7.0, 4.5, 5.0, 1.0):
        error = 5.0 - nats
        accumulated -= 0.1 * error
        adapt(rate(nats), EMPTY)
        expected = accumulated + 0.5 / (1 + math.exp(error))
        assert adapt.last["evidence/refiner/rate"].item() == pytest.approx(expected, rel=1e-5)
        assert adapt.status()["error"].item() == pytest.approx(error, abs=1e-5)


def test_only_the_rate_is_controlled_and_times_its_share() -> None:
    terms = {**rate(9.0), "evidence/refiner/distortion": torch.tensor(1.0), "a/generator": torch.tensor(1.0)}
    adapt, plain = control(), control()
    adapt.shares = {"evidence": 0.25}
    adapt(terms, EMPTY)
    plain(terms, EMPTY)
    assert adapt.last["evidence/refiner/distortion"] == 0.25
    assert adapt.last["a/generator"] == 1
    assert adapt.last["evidence/refiner/rate"] == 0.25 * plain.last["evidence/refiner/rate"]
    assert plain.last["evidence/refiner/rate"] > 1


def test_nothing_moves_while_the_refiner_rests() -> None:
    adapt = control()
    adapt(rate(9.0), EMPTY)
    before = adapt.state_dict()["accumulated"].clone()
    assert adapt({"a/generator": torch.tensor(3.0)}, EMPTY) == 3
    assert adapt.state_dict()["accumulated"] == before


@pytest.mark.parametrize(("nats", "bound"), [(100.0, 4.0), (0.0, 0.5)])
def test_a_target_out_of_reach_leaves_no_debt(nats: float, bound: float) -> None:
    """After a thousand steps at the bound the first one on the other side moves the weight away from it."""
    adapt = control(low=0.5, proportional=0.0)
    for _ in range(1000):
        adapt(rate(nats), EMPTY)
    assert adapt.last["evidence/refiner/rate"] == bound
    adapt(rate(6.0 if bound == 0.5 else 4.0), EMPTY)
    assert abs(adapt.last["evidence/refiner/rate"].item() - bound) == pytest.approx(0.1)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"adapt.low: 5.0 is above adapt.high = 4.0"):
        control(low=5.0)


@pytest.mark.parametrize("target", [1.5, 4.0])
def test_a_linear_refiner_settles_at_the_target(target: float) -> None:
    """Left to itself, the rate of this data is 2.3 nats."""
    torch.manual_seed(0)
    pair = Pair(parts.LinearGenerator(2, (8,)), parts.LinearRefiner((8,), 4), Pixels())
    mixing = torch.randn(4, 8) / 3
    adapt, evidence = control(target=target, integral=0.02, proportional=0.01, low=0.01), Evidence()
    optimizer = torch.optim.Adam(pair.refiner.parameters(), 1e-2, fused=True)
    rates = []
    for _ in range(500):
        clean = torch.randn(256, 4) @ mixing + 0.3 * torch.randn(256, 8)
        terms = {f"evidence/{name}": term for name, term in evidence(pair, Batch(clean, None), EMPTY).items()}
        optimizer.zero_grad()
        adapt(terms, EMPTY).backward()
        optimizer.step()
        rates.append(8 * terms["evidence/refiner/rate"].item())
    settled = torch.tensor(rates[-100:])
    assert settled.mean().item() == pytest.approx(target, rel=0.05)
