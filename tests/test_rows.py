"""Matrices over all pairs, a block of rows at a time: the same numbers, in bounded memory."""

import parts
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.layer import rows
from stable_diffusion_lab.layer.rows import Blocks, log_column_sums, row_blocks, sum_over_rows
from stable_diffusion_lab.objective.adversarial import share_above
from stable_diffusion_lab.objective.imle import nearest

PAIRWISE = ["drift", "sharp_drift", "energy", "mmd", "sinkhorn", "imle", "relativistic"]


def cloud(n: int, dim: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three rows, and room for some of them only."""
    monkeypatch.setattr(rows, "BLOCK", 1)
    monkeypatch.setattr(rows, "LEAST_ROWS", 3)
    monkeypatch.setattr(rows, "HELD", 200)


def learnt(name: str, n: int, dim: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Terms of an objective, and their gradients for the drafts and whatever it owns."""
    torch.manual_seed(0)
    pair = parts.pair_in_pixels((dim,)).to(dtype)
    (objective,) = (built.to(dtype) for built in parts.build("objective", name, pair).values())
    noise = torch.randn(n, pair.generator.noise_dim, dtype=dtype)
    draft = Draft(noise, pair.generator(noise))
    terms = objective(pair, Batch(cloud(n + 2, dim, 1).to(dtype), None), draft)
    learning = [*pair.generator.parameters(), *objective.parameters()]
    slopes = torch.autograd.grad(torch.stack(list(terms.values())).sum(), learning)
    return [*terms.values(), *slopes]


@pytest.mark.parametrize("name", PAIRWISE)
def test_blocks_teach_what_one_block_teaches(name: str, request: pytest.FixtureRequest) -> None:
    whole = learnt(name, 10, 4)
    request.getfixturevalue("small_blocks")
    assert len(row_blocks(cloud(10), 12)) == 4
    torch.testing.assert_close(learnt(name, 10, 4), whole)


def most_held(name: str, n: int) -> int:
    """Bytes allocated at the peak of a step, without those that it began with."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        learnt(name, n, 2, torch.float32)
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("name", ["energy", "sharp_drift", "imle"])
def test_no_matrix_over_all_pairs_is_ever_whole(name: str) -> None:
    n = 8192
    assert most_held(name, n) < 4 * n**2 / 4


@pytest.mark.parametrize("name", ["drift", "sinkhorn"])
def test_what_is_held_for_the_next_pass_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "HELD", 2**20)
    n = 4096
    assert most_held(name, n) < 4 * n**2 / 2


def test_blocks_are_made_once_as_long_as_there_is_room(small_blocks: None) -> None:
    matrix, made = cloud(10, 40), []

    def make(block: slice) -> Tensor:
        made.append(block.start)
        return matrix[block].clone()

    blocks = Blocks(row_blocks(matrix, 40), make)
    for _ in range(3):
        assert torch.equal(torch.cat(list(blocks)), matrix)
    assert made == [0, 3, 6, 9, 3, 6, 3, 6], "the first and the last fit into 200 elements"
    blocks.apply_(torch.Tensor.exp_)
    for _ in range(2):
        assert torch.equal(torch.cat(list(blocks)), matrix.exp())


def test_column_sums_of_blocks_are_those_of_the_whole() -> None:
    logits = 100 * cloud(10, 4)
    torch.testing.assert_close(log_column_sums(logits.split(3)), logits.logsumexp(0))


def test_a_sum_over_rows_has_the_gradient_of_its_value(small_blocks: None) -> None:
    x, y = cloud(7).requires_grad_(), cloud(5, seed=1)

    def total(points: Tensor) -> Tensor:
        return sum_over_rows(points, 5, lambda some: (some @ y.t()).exp().sum())

    torch.testing.assert_close(total(x), (x @ y.t()).exp().sum())
    assert torch.autograd.gradcheck(total, x)
    assert not total(x.detach()).requires_grad


def test_nearest_in_blocks_is_the_nearest(small_blocks: None) -> None:
    x, y = cloud(40), cloud(23, seed=1)
    assert torch.equal(nearest([Comparison(x, y)]), torch.cdist(y, x).argmin(dim=1))


def test_share_above_counts_pairs_and_no_ties() -> None:
    a, b = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 2.5])
    assert share_above(a, b).item() == pytest.approx(3 / 6)
    assert share_above(a, a).item() == pytest.approx(3 / 9)
