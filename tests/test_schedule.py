"""Who learns when."""

import pytest

from stable_diffusion_lab.training.schedule import Schedule


def test_head_start_then_the_generator_alone() -> None:
    schedule = Schedule(steps=100, head_start=0.4, refiner_share=0.4, warmup=0)
    learning = [(schedule.learns("refiner", t), schedule.learns("generator", t)) for t in range(120)]
    assert learning[:40] == [(True, False)] * 40
    assert learning[40:] == [(False, True)] * 80


def test_together() -> None:
    schedule = Schedule(steps=10, head_start=0, refiner_share=1)
    assert all(schedule.learns(player, t) for t in range(30) for player in ("refiner", "generator", "critic"))


def test_rate_is_a_half_cosine_over_each_players_own_time() -> None:
    schedule = Schedule(steps=100, head_start=0.5, refiner_share=0.5, warmup=0, final_rate=0.1)
    for player, start in (("refiner", 0), ("generator", 50), ("critic", 50)):
        assert schedule.rate(player, start) == pytest.approx(1)
        assert schedule.rate(player, start + 25) == pytest.approx(0.55)
        assert schedule.rate(player, start + 50) == pytest.approx(0.1)
        assert schedule.rate(player, start + 500) == pytest.approx(0.1)
    assert schedule.rate("generator", 49) == 0


def test_warmup_rises_from_above_zero() -> None:
    schedule = Schedule(steps=10_000, head_start=0, refiner_share=1, warmup=9)
    rates = [schedule.rate("generator", t) for t in range(10)]
    assert rates == pytest.approx([(t + 1) / 10 for t in range(10)], rel=1e-4)
