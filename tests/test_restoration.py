"""Restoring what is damaged: what is observed, what agrees with it, and who learns from whom."""

from pathlib import Path

import parts
import pytest
import torch
from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft, Observation
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.fidelity.psnr import PSNR
from stable_diffusion_lab.generator.unet import UNet
from stable_diffusion_lab.inversion import search
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.distance.power import Power
from stable_diffusion_lab.objective.reconstruction import Reconstruction
from stable_diffusion_lab.refiner.skip import Skip
from stable_diffusion_lab.task.damage.centre_box import CentreBox
from stable_diffusion_lab.task.damage.gaussian_noise import GaussianNoise
from stable_diffusion_lab.task.restoration import Restoration

SHAPE = (1, 8, 8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int) -> Tensor:
    return torch.rand(n, *SHAPE, generator=rng(7)) * 2 - 1


def restorer(task: Restoration | None = None) -> Pair:
    torch.manual_seed(0)
    task = task or Restoration({"box": CentreBox(0.5)})
    return Pair(UNet(4, SHAPE, 4, 2, 8), parts.LinearRefiner(SHAPE, 6), Pixels(), task)


def test_damages_follow_one_another() -> None:
    task = Restoration({"box": CentreBox(0.5), "noise": GaussianNoise(0.5, 0.5)})
    observed = task.observe(images(3), rng())
    assert not observed.exact.any()
    assert observed.seen.sum() == 3 * (64 - 16)
    assert not observed.sample[observed.seen == 0].any(), "noise where nothing is seen"


@pytest.mark.parametrize("stage", ["draft", "refined"])
def test_what_is_known_is_in_every_sample_bit_for_bit(stage: str) -> None:
    pair, clean = restorer(), images(5)
    observed = pair.task.observe(clean, rng())
    sample = getattr(pair.generate(5, 0, observed=observed), stage)
    known = observed.exact.bool()
    assert torch.equal(sample[known], clean[known])
    assert not torch.equal(sample[~known], clean[~known])


def test_completions_differ_where_something_is_hidden_and_only_there() -> None:
    pair, clean = restorer(), images(3)
    mask = torch.ones(1, 1, 8, 8)
    mask[..., 2:5, 1:7] = 0
    for samples in pair.restore(clean, mask, n=4):
        assert samples.shape == (3, 4, *SHAPE)
        varies = samples.std(dim=1) > 0
        assert torch.equal(varies, (mask == 0).expand(3, *SHAPE))


def test_a_pair_that_never_saw_damage_is_searched_for_what_agrees() -> None:
    torch.manual_seed(1)
    generator = parts.LinearGenerator(6, SHAPE)
    pair = Pair(generator, parts.LinearRefiner(SHAPE, 6), Pixels())
    whole = pair.draft(torch.randn(4, 6)).detach()
    mask = torch.ones(1, 1, 8, 8)
    mask[..., 4:, :] = 0
    restored = pair.restore(whole * mask, mask, n=2).draft
    error = (restored - whole[:, None])[..., 4:, :].square().mean()
    assert error < 0.02 * whole[..., 4:, :].square().mean(), "32 numbers determine six"


def test_the_search_ends_where_the_posterior_of_a_linear_model_has_its_maximum() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(5, 3)
    target = torch.randn(4, 5)
    whole = torch.ones(4, 1)
    observed = Observation(target, whole, whole)
    found = search(lambda z: z @ matrix.T, torch.randn(4, 3), observed, rng(), steps=2000, scale=0.5)
    exact = torch.linalg.solve(matrix.T @ matrix / 0.25 + torch.eye(3), matrix.T @ target.T / 0.25).T
    torch.testing.assert_close(found, exact, atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", [name for name in parts.objectives() if name != "none"])
def test_every_objective_teaches_to_restore(name: str) -> None:
    pair, clean = restorer(), images(9)
    noise = torch.randn(9, 4)
    observed = pair.task.observe(clean, rng())
    draft = Draft(noise, pair.code(noise, observed), observed)
    (objective,) = parts.build("objective", name, pair).values()
    terms = objective(pair, Batch(clean, torch.arange(9) % 2), draft)
    sum(term for key, term in terms.items() if key.split("/")[0] == "generator").backward()
    slopes = [p.grad for p in pair.generator.parameters() if p.grad is not None]
    assert sum(slope.abs().sum() for slope in slopes) > 0
    assert all(p.grad is None for p in pair.refiner.parameters())


@pytest.mark.parametrize(
    ("group", "name"),
    [("objective", "energy_score"), ("objective", "reconstruction"), ("refinement", "correction")],
)
def test_paired_objectives_reach_one_player_and_want_an_observation(group: str, name: str) -> None:
    pair, clean = restorer(), images(5)
    noise = torch.randn(5, 4)
    observed = pair.task.observe(clean, rng())
    (objective,) = parts.build(group, name, pair).values()
    terms = objective(pair, Batch(clean, None), Draft(noise, pair.code(noise, observed), observed))
    ((player, term),) = terms.items()
    term.backward()
    learnt = {"generator": pair.generator, "refiner": pair.refiner}
    for who, module in learnt.items():
        assert any(p.grad is not None and p.grad.any() for p in module.parameters()) == (who == player)
    with pytest.raises(ConfigError, match="nothing is observed"):
        objective(pair, Batch(clean, None), Draft(noise, pair.code(noise)))


def test_reconstruction_vanishes_at_the_sample_itself() -> None:
    pair, clean = restorer(), images(4)
    observed = pair.task.observe(clean, rng())
    loss = Reconstruction(Power(1.0))(pair, Batch(clean, None), Draft(torch.zeros(4, 4), clean, observed))
    assert loss["generator"] == 0
    off = Reconstruction(Power(1.0))(
        pair, Batch(clean, None), Draft(torch.zeros(4, 4), clean + 0.5, observed)
    )
    assert off["generator"].item() == pytest.approx(0.5)


def test_psnr_is_what_torchmetrics_says() -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio

    clean, restored = images(6), images(6).flip(0)
    observed = Restoration({"box": CentreBox(0.5)}).observe(clean, rng())
    found = PSNR()(restored, clean, observed)
    for i in range(6):
        whole = peak_signal_noise_ratio(restored[i], clean[i], data_range=(-1.0, 1.0))
        torch.testing.assert_close(found["psnr"][i], whole)
        hole = observed.exact[i, 0] == 0
        inside = peak_signal_noise_ratio(restored[i][:, hole], clean[i][:, hole], data_range=(-1.0, 1.0))
        torch.testing.assert_close(found["psnr_in"][i], inside)


def test_a_correcting_refiner_begins_by_leaving_drafts_alone() -> None:
    refiner = Skip(lambda **facts: parts.LinearRefiner(**facts), SHAPE, 6, 0.5, width=4)
    x = images(3)
    assert torch.equal(refiner(x), x)
    assert not torch.equal(refiner.inner(x), x)


def test_a_generator_that_does_not_look_is_refused_a_task_that_observes() -> None:
    task = Restoration({"box": CentreBox(0.5)})
    with pytest.raises(ConfigError, match="generator=unet"):
        Pair(parts.LinearGenerator(6, (6,)), parts.LinearRefiner(SHAPE, 6), Latents(), task)


def test_a_task_without_damage_is_refused() -> None:
    with pytest.raises(ConfigError, match="damage"):
        Restoration({})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["task=inpainting", "generator=dcgan"], "say generator=unet"),
        (["task=inpainting", "draft=latents"], "another draft: pixels"),
        (["damage=strokes"], "nothing is damaged"),
        (["fidelity=[psnr]"], "nothing is damaged"),
        (["task=inpainting", "damage=dropped_segments"], "damage"),
    ],
)
def test_what_does_not_fit_the_task_leaves_no_run_folder(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words, f"runs={tmp_path}/runs", "metric=[frechet]"]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_corrections_wait_for_the_first_draft() -> None:
    pair = restorer()
    (objective,) = parts.build("refinement", "correction", pair).values()
    nothing = Draft(torch.empty(0, 4), torch.empty(0, *SHAPE))
    assert objective(pair, Batch(images(3), None), nothing) == {}
