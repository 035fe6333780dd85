"""What happens to points before a critic sees them: who is hit, how, how often, and that slopes survive."""

import parts
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.resample import resample
from stable_diffusion_lab.objective.augment.ada import ADA, source
from stable_diffusion_lab.objective.augment.base import Augment
from stable_diffusion_lab.objective.augment.diff_augment import DiffAugment, color, cutout, translation

STILL = {"translation": 0, "scaling": 0, "brightness": 0, "contrast": 0}


def always(**arguments: float) -> ADA:
    """ADA that hits every image."""
    ada = ADA(**(STILL | arguments)).double()
    ada.p.fill_(1)
    return ada


def build(name: str) -> Augment:
    augment = parts.build("augment", name, parts.pair_in_pixels())
    if isinstance(augment, ADA):
        augment.p.fill_(0.8)
    return augment.double()


def images(count: int = 6, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, height, width, dtype=torch.float64, generator=rng) * 2 - 1


@pytest.mark.parametrize("name", parts.members("augment"))
@pytest.mark.parametrize("objective", ["non_saturating", "wasserstein_gp"])
def test_every_augmentation_trains_with_images(name: str, objective: str) -> None:
    """Through a gradient penalty, which wants the augmentation's second derivative."""
    pair = parts.pair_in_pixels()
    (game,) = parts.build("objective", objective, pair, f"augment={name}").values()
    if name == "ada":
        game.augment.p.fill_(0.9)
    terms = game(pair, *parts.situation(pair))
    players = {"generator": list(pair.generator.parameters()), "critic": list(game.critic.parameters())}
    for player, parameters in players.items():
        slopes = torch.autograd.grad(terms[player], parameters, retain_graph=True)
        assert all(slope.isfinite().all() for slope in slopes)
        assert sum(slope.abs().sum() for slope in slopes) > 0


@pytest.mark.parametrize("name", parts.members("augment"))
def test_keeps_shape_and_type_and_changes_each_image_by_itself(name: str) -> None:
    augment, x = build(name), images(height=10, width=6).requires_grad_()
    torch.manual_seed(0)
    y = augment(x)
    assert y.shape == x.shape and y.dtype == x.dtype
    (slope,) = torch.autograd.grad(y[2].square().sum(), x)
    hit = slope.flatten(1).abs().sum(dim=1) > 0
    assert hit.tolist() == [row == 2 for row in range(6)]


@pytest.mark.parametrize("name", parts.members("augment"))
def test_has_the_gradient_of_its_value(name: str) -> None:
    augment = build(name)

    def fixed(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x)

    x = images(2, 1, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(fixed, x)
    assert torch.autograd.gradgradcheck(lambda x: fixed(x).sin(), x)


@pytest.mark.parametrize("augment", [DiffAugment(), ADA()])
def test_refuses_what_is_no_image(augment: Augment) -> None:
    with pytest.raises(ConfigError, match=r"wants images \[B, C, H, W\], got \[B, 24\]"):
        augment(torch.randn(3, 24))


def test_equal_images_are_changed_differently() -> None:
    x = images(1).expand(64, -1, -1, -1)
    for augment in (always(translation=0.3), always(scaling=0.2), always(brightness=0.2), color, cutout):
        torch.manual_seed(0)
        assert len(augment(x).flatten(1).unique(dim=0)) > 8


def test_resampling_at_the_pixels_is_exact_and_between_them_linear() -> None:
    x = images(2, 1, 4, 5)
    rows, columns = torch.arange(4.0).expand(2, 4), torch.arange(5.0).expand(2, 5)
    assert torch.equal(resample(x, rows, columns), x)
    half = resample(x, rows[:, :3] + 0.5, columns)
    torch.testing.assert_close(half, (x[:, :, :3] + x[:, :, 1:]) / 2)
    assert (resample(x, rows - 10, columns) == 0).all()


def test_diff_augment_shifts_a_dot_and_lets_zeros_in() -> None:
    dot = torch.zeros(300, 1, 17, 17)
    dot[:, :, 1, 8] = 1  # at the upper edge: shifts of up to 2 pixels may push it out
    torch.manual_seed(0)
    where = translation(dot)
    assert set(where.unique().tolist()) == {0, 1}
    found = {tuple(place) for place in where[:, 0].nonzero()[:, 1:].tolist()}
    assert found == {(row, column) for row in range(4) for column in range(6, 11)}
    kept = where.sum() / 300
    assert kept.item() == pytest.approx(4 / 5, abs=0.1)


def test_diff_augment_shift_is_a_roll_without_the_wrap() -> None:
    x = images(40, 1, 16, 16)
    torch.manual_seed(0)
    shifted = translation(x)
    padded = pad(x, (2, 2, 2, 2))
    views = torch.stack([padded[..., r : r + 16, c : c + 16] for r in range(5) for c in range(5)])
    assert (views == shifted).flatten(2).all(dim=2).any(dim=0).all()


def test_cutout_removes_half_a_side_or_what_of_it_is_inside() -> None:
    torch.manual_seed(0)
    left = cutout(torch.ones(500, 1, 8, 12))
    gone = (left == 0)[:, 0]
    heights, widths = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    assert torch.equal(gone.sum(dim=(1, 2)), heights * widths)  # a rectangle
    assert heights.unique().tolist() == [2, 3, 4] and widths.unique().tolist() == [3, 4, 5, 6]


def test_color_changes_what_it_says() -> None:
    x = images(2000)
    torch.manual_seed(0)
    y = color(x)
    shift = y.mean(dim=(1, 2, 3)) - x.mean(dim=(1, 2, 3))
    assert -0.5 <= shift.min() < -0.45 and 0.45 < shift.max() <= 0.5  # brightness alone moves the mean
    grey = y.mean(dim=1).flatten(1).std(dim=1) / x.mean(dim=1).flatten(1).std(dim=1)
    assert 0.5 <= grey.min() < 0.55 and 1.45 < grey.max() <= 1.5  # contrast alone scales what is grey
    chroma = [(it - it.mean(dim=1, keepdim=True)).flatten(1).std(dim=1) for it in (y, x)]
    saturation = chroma[0] / chroma[1] / grey
    assert saturation.min() < 0.05 and 1.9 < saturation.max() <= 2.0001


def test_policies_are_done_in_their_order_and_no_others() -> None:
    x = images()
    torch.manual_seed(0)
    expected = translation(cutout(x))
    torch.manual_seed(0)
    assert torch.equal(DiffAugment(["cutout", "translation"])(x), expected)
    assert DiffAugment([])(x) is x


def test_ada_starts_as_the_identity() -> None:
    x = images(height=9, width=6)
    assert torch.equal(ADA(flip=True).double()(x), x)
    assert torch.equal(ADA(turns=True).double()(images()), images())
    assert torch.equal(always()(x), x)


def test_ada_hits_each_image_with_probability_p() -> None:
    ada, x = always(brightness=1.0), torch.zeros(4000, 1, 2, 2, dtype=torch.float64)
    ada.p.fill_(0.3)
    torch.manual_seed(0)
    assert (ada(x)[:, 0, 0, 0] != 0).double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_ada_shift_is_a_crop_of_the_mirrored_surroundings() -> None:
    x = images(600, 1, 16, 16)
    torch.manual_seed(0)
    shifted = always(translation=0.125)(x)
    padded = pad(x, (2, 2, 2, 2), mode="reflect")
    views = torch.stack([padded[..., r : r + 16, c : c + 16] for r in range(5) for c in range(5)])
    same = (views == shifted).flatten(2).all(dim=2)
    assert same.any(dim=0).all()
    assert same.any(dim=1).all(), "every shift of up to an eighth occurs"


def test_ada_mirrors_and_turns_on_demand_only() -> None:
    x = images(100, 1, 6, 6)
    turned = torch.stack([torch.rot90(x, quarter, (2, 3)) for quarter in range(4)])
    torch.manual_seed(0)
    same = (turned == always(turns=True)(x)).flatten(2).all(dim=2)
    assert same.any(dim=0).all() and same.any(dim=1).all()
    flipped = torch.stack([x, x.flip(3)])
    same = (flipped == always(flip=True)(x)).flatten(2).all(dim=2)
    assert same.any(dim=0).all() and same.any(dim=1).all()
    with pytest.raises(ConfigError, match="square"):
        always(turns=True)(images(height=9))


def test_ada_zoom_is_about_the_centre() -> None:
    one = torch.ones(1, 1)
    assert source(5, 0 * one, 2 * one).tolist() == [[1, 1.5, 2, 2.5, 3]]
    assert source(5, 0 * one, 0.5 * one).tolist() == [[2, 0, 2, 4, 2]]  # mirrored beyond the edges
    assert source(4, 0 * one, one, -one).tolist() == [[3, 2, 1, 0]]
    assert source(4, one, one).tolist() == [[1, 0, 1, 2]]
    torch.manual_seed(0)
    x = torch.zeros(2000, 1, 2, 32, dtype=torch.float64) + torch.linspace(-1, 1, 32)
    slopes = always(scaling=0.2)(x).diff(dim=3)[:, 0, 0, 16] / (2 / 31)
    assert slopes.log2().std().item() == pytest.approx(0.2, rel=0.1)


def test_ada_contrast_and_brightness_have_their_spread() -> None:
    x = torch.zeros(5000, 1, 1, 2, dtype=torch.float64)
    x[..., 1] = 1
    torch.manual_seed(0)
    dark, light = always(brightness=0.2, contrast=0.5)(x)[:, 0, 0].unbind(dim=1)
    factor = light - dark
    assert factor.log2().std().item() == pytest.approx(0.5, rel=0.05)
    assert factor.log2().mean().abs() < 0.03
    assert (dark / factor).std().item() == pytest.approx(0.2, rel=0.05)


def test_ada_strengthens_with_the_critics_sureness() -> None:
    ada = ADA(images=100)
    real, generated = torch.full((10,), 2.0), torch.full((6,), -2.0)
    ada.observe(generated, real)  # r = 1
    assert ada.p.item() == pytest.approx(0.1)
    unsure = torch.tensor([2.0, 2, 2, 2, 2, 2, 2, -2, -2, -2])  # r = 0.4
    ada.observe(generated, unsure)
    assert ada.p.item() == pytest.approx(0.0, abs=1e-7)
    ada.observe(generated, unsure)
    assert ada.p == 0
    for _ in range(20):
        ada.observe(generated, real)
    assert ada.p == 1


def test_ada_reads_critics_wherever_their_zero_is() -> None:
    """Relativistic critics have none."""
    for zero in (0.0, 0.5, -100.0):
        ada = ADA(images=100)
        ada.observe(torch.full((6,), zero - 1), torch.full((10,), zero + 1))
        assert ada.p.item() == pytest.approx(0.1)
        ada.observe(torch.tensor([-1.0, 1.0]) + zero, torch.tensor([-1.0, 1.0] * 5) + zero)
        assert ada.p.item() == pytest.approx(0.0, abs=1e-7)


def test_ada_listens_to_its_objective_and_survives_a_checkpoint() -> None:
    pair = parts.pair_in_pixels()
    words = ["augment=ada", "augment.images=90", "augment.target=0"]
    (game,) = parts.build("objective", "relativistic", pair, *words).values()
    for p in game.critic.parameters():
        p.data.zero_()
    terms = game(pair, *parts.situation(pair))  # r = 0 is the target
    assert game.augment.p == 0
    game.augment.p.fill_(0.25)
    (other,) = parts.build("objective", "relativistic", pair, *words).values()
    other.load_state_dict(game.state_dict())
    assert other.augment.p == 0.25
    assert terms["critic"].isfinite()
