"""The training step: one scalar, one backward, one optimiser, and who moves when."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from stable_diffusion_lab.adapt.fixed import Fixed
from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.data.base import Split
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.objective.augment.identity import Identity as Unaugmented
from stable_diffusion_lab.objective.critic.mlp import MLP as Critic
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.relativistic import Relativistic
from stable_diffusion_lab.refinement.evidence import Evidence
from stable_diffusion_lab.training.optimizer import PlayerAdam
from stable_diffusion_lab.training.schedule import Schedule
from stable_diffusion_lab.training.system import System
from tests.parts import IMAGE, LATENT_DIM, pair_in_latents

STEPS = 8
IMAGES = torch.randint(0, 256, (40, *IMAGE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def system(schedule: Schedule, seed: int = 0, ema_decay: float = 0.9) -> System:
    torch.manual_seed(3)
    relativistic = Relativistic(Identity(), Critic((LATENT_DIM,), hidden_dim=8, depth=1), {}, Unaugmented())
    refinement, objectives = {"evidence": Evidence(0.1)}, {"relativistic": relativistic}
    pair, adam = pair_in_latents(), PlayerAdam(1e-2, 1e-2, 1e-2)
    return System(pair, refinement, objectives, Fixed({}), schedule, adam, ema_decay, seed)


def train(module: System, steps: int = STEPS, folder: Path = Path(), **options: Any) -> System:
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(module, Batches(Split(IMAGES, None), batch_size=10, seed=0, steps=steps))
    return module


def moved(before: torch.nn.Module, after: torch.nn.Module) -> bool:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return any(not torch.equal(a, b) for a, b in pairs)


def test_every_player_has_a_group_of_its_own() -> None:
    module = system(Schedule(STEPS))
    groups = module.configure_optimizers().param_groups
    assert [group["player"] for group in groups] == ["generator", "refiner", "critic"]
    assert sum(len(group["params"]) for group in groups) == len(
        [p for p in module.parameters() if p.requires_grad]
    )


def test_only_the_refiner_moves_during_its_head_start_and_only_the_others_after_it() -> None:
    start = system(Schedule(STEPS, head_start=0.5, refiner_share=0.5, warmup=0))
    half = train(copy.deepcopy(start), STEPS // 2)
    assert moved(start.model.refiner, half.model.refiner)
    assert not moved(start.model.generator, half.model.generator)
    assert not moved(start.objectives, half.objectives)
    whole = train(copy.deepcopy(start), STEPS)
    assert moved(start.model.generator, whole.model.generator)
    assert moved(start.objectives, whole.objectives)
    # From its stop on the refiner is its own running average.
    assert not moved(half.average.refiner, whole.model.refiner)


def test_images_travel_as_bytes_and_are_samples_on_the_device() -> None:
    module, travelling, there = system(Schedule(1)), [], []
    module.on_before_batch_transfer = lambda batch, index: travelling.append(batch) or batch
    module.on_train_batch_start = lambda batch, index: there.append(batch)
    train(module, steps=1)
    ((stored, labels),), (batch,) = travelling, there
    assert stored.dtype == torch.uint8 and labels is None is batch.label
    assert torch.equal(batch.clean, Image().to_sample(stored))


def test_global_step_counts_batches() -> None:
    module = train(system(Schedule(STEPS, head_start=0, refiner_share=1)))
    assert module.batches_seen == module.trainer.global_step == STEPS


def test_same_seed_same_weights_another_seed_others() -> None:
    schedule = Schedule(STEPS, head_start=0, refiner_share=1)
    one, two, three = (train(system(schedule, seed)) for seed in (0, 0, 1))
    assert not moved(one, two)
    assert moved(one.model, three.model)


def test_noise_of_all_ranks_is_the_noise_of_one() -> None:
    module = system(Schedule(STEPS, head_start=0))

    class World:
        def __init__(self, rank: int, size: int) -> None:
            self.global_rank, self.world_size = rank, size

    def noise(rank: int, size: int, images: int) -> torch.Tensor:
        module._trainer = World(rank, size)
        return module.draw(Batch(torch.zeros(images, *IMAGE), None)).noise

    alone = noise(0, 1, 6)
    parts = [noise(rank, 2, 3) for rank in (0, 1)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), alone)


@pytest.mark.parametrize("late", [0, 7])
def test_average_follows_its_closed_form(late: int) -> None:
    """From a player's own first batch, however late it joins: what it began with is soon forgotten."""
    module = system(Schedule(STEPS, head_start=late / STEPS), ema_decay=0.3)
    weight = next(module.model.generator.parameters())
    expected = weight.detach().clone()
    for age in range(1, 6):
        weight.data += 1
        module.batches_seen = late + age
        module.update_average()
        decay = min(0.3, (1 + age) / (10 + age))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(next(module.average.generator.parameters()).data, expected)
    assert not any(p.requires_grad for p in module.average.parameters())


def test_clipping_acts_on_each_player_by_itself() -> None:
    module = system(Schedule(STEPS))
    optimizer = module.configure_optimizers()
    for group, scale in zip(optimizer.param_groups, (1e3, 1e-3, 1e3), strict=True):
        for parameter in group["params"]:
            parameter.grad = torch.full_like(parameter, scale)
    module.configure_gradient_clipping(optimizer, 1.0)
    norms = {
        group["player"]: torch.stack([p.grad.norm() for p in group["params"]]).norm().item()
        for group in optimizer.param_groups
    }
    assert abs(norms["generator"] - 1) < 1e-3 and abs(norms["critic"] - 1) < 1e-3
    assert norms["refiner"] < 0.1, "a small gradient is left alone"


def test_clipping_and_accumulation_work_as_lightning_means_them() -> None:
    schedule = Schedule(STEPS, head_start=0, refiner_share=1)
    module = train(system(schedule), gradient_clip_val=1.0, accumulate_grad_batches=2)
    assert module.trainer.global_step == STEPS // 2
    assert module.batches_seen == STEPS


def test_runs_to_the_end_where_nobody_has_anything_to_learn() -> None:
    module = system(Schedule(STEPS, head_start=0.5, refiner_share=0.5))
    module.objectives.clear()
    start = copy.deepcopy(module.model.generator)
    train(module)
    assert module.batches_seen == module.trainer.global_step == STEPS
    assert not moved(start, module.model.generator)
