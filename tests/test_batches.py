"""Batches are a pure function of their number."""

import contextlib
from itertools import chain

import pytest
import torch

from stable_diffusion_lab.data import batches as module
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.seeding import fold, normal_rows, seeded

N = 23
SPLIT = Split(torch.arange(N, dtype=torch.uint8).view(N, 1, 1, 1).expand(N, 1, 2, 2), torch.arange(N))


def shown(batches: Batches) -> list[list[int]]:
    """Which images each batch holds, by their labels."""
    return [labels.tolist() for _, labels in batches if labels is not None]


def test_an_epoch_shows_no_image_twice_and_each_epoch_has_its_own_order() -> None:
    batches = shown(Batches(SPLIT, 5, seed=0, steps=8))
    first, second = [*chain(*batches[:4])], [*chain(*batches[4:])]
    assert len(set(first)) == len(set(second)) == 20
    assert first != second


def test_what_is_too_much_for_one_order_is_shown_in_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    once = shown(Batches(SPLIT, 2, seed=0, steps=11))
    monkeypatch.setattr(module, "ORDERED", 8)  # three passes of every third image: 8, 8 and 7
    batches = Batches(SPLIT, 2, seed=0, steps=18)
    seen = [[*chain(*shown(batches)[first : first + 3])] for first in range(0, 18, 3)]
    assert [{image % 3 for image in images} for images in seen] == [{0}, {1}, {2}] * 2
    assert all(len(set(images)) == 6 and len(batches.indices(3 * p)) == 2 for p, images in enumerate(seen))
    assert seen[0] != seen[3]
    monkeypatch.setattr(module, "ORDERED", N)
    assert shown(Batches(SPLIT, 2, seed=0, steps=11)) == once


def test_every_image_is_shown_in_the_long_run() -> None:
    assert set(chain(*shown(Batches(SPLIT, 5, seed=0, steps=40)))) == set(range(N))


def test_images_go_with_their_labels_as_they_are_stored() -> None:
    for images, labels in Batches(SPLIT, 5, seed=0, steps=4):
        assert images.dtype == torch.uint8
        assert torch.equal(images, SPLIT.samples[labels])


@pytest.mark.parametrize("first", [1, 3, 4, 7])
def test_a_resumed_run_goes_on_where_it_was(first: int) -> None:
    resumed = Batches(SPLIT, 5, seed=0, steps=8)
    resumed.first = first
    assert shown(resumed) == shown(Batches(SPLIT, 5, seed=0, steps=8))[first:]


def test_a_batch_depends_on_seed_and_number_only() -> None:
    batches = Batches(SPLIT, 5, seed=3, steps=20)
    backwards = {t: batches.indices(t).tolist() for t in reversed(range(20))}
    torch.manual_seed(1)
    again = Batches(SPLIT, 5, seed=3, steps=20)
    assert [backwards[t] for t in range(20)] == shown(again) == shown(again)
    assert shown(Batches(SPLIT, 5, seed=4, steps=20)) != shown(again)


@pytest.mark.parametrize("world", [2, 5])
def test_ranks_together_see_what_one_process_sees(world: int) -> None:
    whole = shown(Batches(SPLIT, 10, seed=0, steps=6))
    ranks = [
        shown(Batches(SPLIT, 10 // world, seed=0, steps=6, rank=rank, world=world)) for rank in range(world)
    ]
    for t, batch in enumerate(whole):
        parts = [rank[t] for rank in ranks]
        assert all(len(part) == 10 // world for part in parts)
        assert sorted(chain(*parts)) == sorted(batch)


def test_data_without_labels() -> None:
    _, labels = next(iter(Batches(SPLIT._replace(labels=None), 5, seed=0, steps=1)))
    assert labels is None


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size: 24, where the train split has 23 images"):
        Batches(SPLIT, 24, seed=0, steps=1)
    with pytest.raises(ConfigError, match="batch_size: 12 x 2 processes, where"):
        Batches(SPLIT, 12, seed=0, steps=1, rank=1, world=2)


def test_fold_spreads_and_never_changes() -> None:
    assert len({fold(a, b) for a in range(30) for b in range(30)}) == 900
    assert fold(1, 23) != fold(12, 3)
    assert fold(0, 1, 2) == 6944296732933707688


@pytest.mark.parametrize(("n", "width"), [(1, 3), (5, 3), (700, 1), (1023, 5), (1024, 7), (1600, 24)])
def test_rows_drawn_in_parts_are_those_drawn_at_once(n: int, width: int) -> None:
    expected = torch.randn(n, width, generator=torch.Generator().manual_seed(3))
    parts = list(normal_rows(n, width, torch.Generator().manual_seed(3)))
    assert torch.equal(torch.cat(parts), expected)
    assert max(map(len, parts)) < 1024


def test_seeded_touches_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[list[int]] = []

    def fork_rng(devices: list[int]) -> contextlib.nullcontext[None]:
        touched.append(devices)
        return contextlib.nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    facts = {"is_available": True, "device_count": 8, "current_device": 5}
    for name, fact in facts.items():
        monkeypatch.setattr(torch.cuda, name, lambda fact=fact: fact)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: touched.append([seed]))
    with seeded(1):
        pass
    assert touched == [[5], [1]]


def test_seeded_leaves_the_global_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.rand(3), expected)
