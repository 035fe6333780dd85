"""Holes filled by the surface that bends least."""

import pytest
import torch

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.layer.thin_plate import thin_plate


def test_polynomials_of_third_degree_are_filled_exactly() -> None:
    """Their bilaplacian is zero, on the grid as well."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 20), indexing="ij")
    whole = torch.stack([0.3 * x**3 - 0.2 * x * y + 0.1, 0.4 * y**2 * x - 0.5 * y])[None].double()
    seen = torch.ones(1, 1, 16, 20).double()
    seen[..., 5:10, 6:9] = seen[..., 8:10, 9:15] = 0
    torch.testing.assert_close(thin_plate(whole * seen, seen), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(9, 7), (40,)])
def test_it_is_the_least_bending_of_all_ways_to_fill(size: tuple[int, ...]) -> None:
    """Against least squares, with holes that reach the border."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, *size, generator=rng).double() * 0.4
    seen = (torch.rand(1, 1, *size, generator=rng) > 0.4).double()
    lines = [torch.diag(torch.ones(n - 1), 1) + torch.diag(torch.ones(n - 1), -1) for n in size]
    neighbours = lines[0] if len(size) == 1 else torch.kron(lines[0], torch.eye(size[1]))
    if len(size) == 2:
        neighbours = neighbours + torch.kron(torch.eye(size[0]), lines[1])
    laplacian = (neighbours - torch.diag(neighbours.sum(1))).double()
    known, hidden = seen.flatten() > 0, seen.flatten() == 0
    best = torch.linalg.lstsq(laplacian[:, hidden], -laplacian[:, known] @ x.flatten()[known]).solution
    assert best.abs().max() < 1
    found = thin_plate(x * seen, seen, rounds=200).flatten()
    torch.testing.assert_close(found[hidden], best, atol=1e-6, rtol=0)
    assert torch.equal(found[known], x.flatten()[known])


def test_what_is_seen_passes_and_nothing_seen_gives_nothing() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(thin_plate(x, torch.ones(2, 1, 8, 8)), x)
    assert not thin_plate(x, torch.zeros(2, 1, 8, 8)).any()


def test_a_unet_begins_with_the_fill_and_leaves_out_what_was_not_seen_exactly() -> None:
    torch.manual_seed(0)
    generator = UNet(4, (1, 8, 8), 4, 2, 8)
    torch.nn.init.zeros_(generator.network.leave.weight)
    sample, seen, exact = torch.rand(3, 1, 8, 8), torch.ones(3, 1, 8, 8), torch.ones(3, 1, 8, 8)
    seen[..., :3] = exact[..., :5] = 0
    sample = sample * seen
    draft = generator(torch.randn(3, 4), Observation(sample, seen, exact))
    assert torch.equal(draft[..., :3], thin_plate(sample, seen)[..., :3])
    assert not draft[..., 3:5].any()
    assert torch.equal(draft[..., 5:], sample[..., 5:])
