"""What the framework costs: ``sdlab train``'s loop against a bare PyTorch loop with the same parts.

    python benchmarks/throughput.py [experiment=mnist ...]

Both train the same nets with the same objectives, batches, optimiser and running average from the same
start, alternating in one process, with the callbacks that only watch (scores, pictures, checkpoints) left
out of both. Prints the ratio bare/framework of wall time, median and range over rounds, for the refiner's
head start and for the generator's learning. 1 means that Lightning costs nothing.
"""

import copy
import statistics
import sys
import time

import torch
from common import Clock, silent_trainer

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import assemble
from stable_diffusion_lab.command.trainer import quiet
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.training.system import System
from stable_diffusion_lab.training.terms import Terms

ROUNDS, STEPS, WARM = 7, 150, 20


def framework(system: System, batches: Batches, log_every: int) -> float:
    """Seconds per step in Lightning's loop."""
    clock = Clock(WARM)
    system.batches_seen = batches.first
    trainer = silent_trainer(STEPS, [Terms(log_every), clock])
    trainer.fit(system, batches)
    return clock.per_step


def bare(system: System, batches: Batches) -> float:
    """Seconds per step in the loop that one would write by hand."""
    model, average = system.model, system.average
    system.batches_seen = batches.first
    learning = system.schedule.learns("generator", batches.first)
    objectives = list(system.active().values())
    optimizer = system.optimizer(system.players())
    if learning:
        samples, labels = batches.split.some()
        chunks = samples.split(1024)
        model.generator.initialise(
            (model.embed(batches.modality.to_sample(chunk)).detach() for chunk in chunks),
            labels,
        )
    for step, (stored, labels) in enumerate(batches):
        if step == WARM:
            began = time.perf_counter()
        batch = Batch(batches.modality.to_sample(stored), labels)
        noise = torch.randn(len(batch.clean), model.generator.noise_dim)
        draft = Draft(noise, model.generator(noise) if learning else noise)
        loss = sum(term for objective in objectives for term in objective(model, batch, draft).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1e-3)
    return (time.perf_counter() - began) / (STEPS - WARM)


def main(overrides: list[str]) -> None:
    """Print the ratios."""
    config = compose("train", overrides)
    torch.use_deterministic_algorithms(bool(config.trainer.deterministic))
    data = build(config.data)
    fresh = assemble(config)
    for phase, first in (("refiner", 0), ("generator", fresh.schedule.generator_start)):
        ratios = []
        for _ in range(ROUNDS):
            batches = Batches(
                data.train, config.batch_size, config.seed, first + STEPS, modality=data.modality
            )
            batches.first = first
            mine = framework(copy.deepcopy(fresh), batches, config.trainer.log_every_n_steps)
            ratios.append(bare(copy.deepcopy(fresh), batches) / mine)
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(f"{phase} learns: {middle:.3f} of the bare loop's throughput ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    with quiet():
        main(sys.argv[1:])
