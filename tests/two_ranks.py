"""Trains with each objective in turn on two ranks and compares them. Lightning starts this file twice."""

import sys
from pathlib import Path

import torch
from torch import distributed

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import assemble
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.training.system import System

WORDS = [
    "trainer.max_steps=8",
    "trainer.devices=2",
    "trainer.accelerator=cpu",
    "+trainer.enable_progress_bar=false",
    "+trainer.enable_checkpointing=false",
    "trainer.gradient_clip_val=1.0",
    "schedule.warmup=0",
]


def fit(words: list[str], folder: str) -> System:
    config = compose("train", [*WORDS, *words])
    system = assemble(config)
    trainer = build(config.trainer, logger=False, default_root_dir=folder)
    data = build(config.data)
    ranks = (trainer.global_rank, trainer.world_size)
    trainer.fit(system, Batches(data.train, 32, config.seed, trainer.max_steps, *ranks))
    assert system.batches_seen == 8
    return system


def drift(system: System) -> list[str]:
    """Names of the tensors in which the ranks differ."""
    differ = []
    for name, tensor in [*system.named_parameters(), *system.named_buffers()]:
        other = tensor.detach().clone()
        distributed.broadcast(other, src=0)
        if not torch.equal(other, tensor):
            differ.append(name)
    found: list[list[str]] = [[], []]
    distributed.all_gather_object(found, differ)
    return found[1]


def moved(system: System, words: list[str]) -> bool:
    """Whether the generator is no longer what it was at the beginning."""
    before = assemble(compose("train", [*WORDS, *words])).model.generator.state_dict()
    after = system.model.generator.state_dict()
    return any(not torch.equal(before[name], after[name]) for name in before)


if __name__ == "__main__":
    folder, *cases = sys.argv[1:]
    for case in cases:
        system = fit(case.split(), folder)
        verdict = f"{case}: drift {drift(system)}, moved {moved(system, case.split())}"
        if distributed.get_rank() == 0:
            with Path(folder, "verdicts").open("a") as file:
                file.write(verdict + "\n")
