"""Cyclical annealing of the refiner's rate."""

import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.adapt.cyclical import Cyclical
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.error import ConfigError

EMPTY = Draft(torch.empty(0, 2), torch.empty(0, 4))
RATE, DISTORTION = "evidence/refiner/rate", "evidence/refiner/distortion"


def terms() -> dict[str, Tensor]:
    return {RATE: torch.tensor(2.0), DISTORTION: torch.tensor(1.0), "a/generator": torch.tensor(1.0)}


def test_the_weight_rises_in_each_cycle_and_stays_at_one() -> None:
    adapt = Cyclical({"evidence": 0.5}, period=8, cycles=2, rise=0.5)
    found = []
    for _ in range(20):
        adapt(terms(), EMPTY)
        found.append(adapt.last[RATE].item() / 0.5)
        assert (adapt.last[DISTORTION], adapt.last["a/generator"]) == (0.5, 1)
    cycle = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert found == [*cycle, *cycle, 1, 1, 1, 1]


def test_a_resumed_run_goes_on_in_its_cycle_and_rest_does_not_count() -> None:
    adapt, other = (Cyclical({}, period=10) for _ in range(2))
    for _ in range(3):
        adapt(terms(), EMPTY)
    assert adapt({"a/generator": torch.tensor(3.0)}, EMPTY) == 3
    other.load_state_dict(adapt.state_dict())
    other(terms(), EMPTY)
    assert other.last[RATE].item() == pytest.approx(0.6)


def test_a_rise_longer_than_its_cycle_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adapt\.rise: 1\.5"):
        Cyclical({}, period=10, rise=1.5)
