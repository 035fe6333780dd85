"""What a comparison costs: time and peak memory of each objective against batch size N and width D.

    python benchmarks/cost.py [--device cpu] [--objectives mmd energy]

One step of an objective's terms and their backward pass on N drafts and N real points of width D, float32,
the generator and refiner left out; on the CPU the processor's time of the fastest step. Prints a Markdown
table with the exponents a and b of time ~ N^a D^b: a is the slope of a straight line through log time against
log N at the larger sizes, 2,048 and more, b is from the two widths.
"""

import argparse
import math
import time
from statistics import linear_regression
from typing import NamedTuple

import torch
from common import objectives
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer
from torch.utils.benchmark import timer as default_clock

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.refiner.mlp import MLP

NARROW, WIDE = (512, 24), (512, 784)
LARGE = [(2048, 24), (4096, 24), (8192, 24)]
SIZES = [NARROW, *LARGE, WIDE]


class Scale(Generator):
    """x = a z: a generator that costs next to nothing."""

    def __init__(self, width: int) -> None:
        super().__init__(width, (width,))
        self.a = nn.Parameter(torch.ones(()))

    def forward(self, noise: Tensor) -> Tensor:
        return self.a * noise


class Cost(NamedTuple):
    """Milliseconds of a step, and MiB allocated at its peak."""

    time: float
    memory: float


def step(objective: Objective, pair: Pair, real: Tensor) -> None:
    """One step as in training."""
    noise = torch.randn_like(real)
    terms = objective(pair, Batch(real, None), Draft(noise, pair.generator(noise)))
    torch.stack(list(terms.values())).sum().backward()


def peak(run: Timer, device: str) -> float:
    """MiB allocated at the most during one step."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run.timeit(1)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run.timeit(1)
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most / 2**20


def cost(name: str, n: int, width: int, device: str) -> Cost:
    """Measure one objective at one size."""
    words = [f"objective={name}", f"++generator.shape=[{width}]", f"++generator.noise_dim={width}"]
    config = compose("train", [*words, f"++data.shape=[{width}]", "critic=mlp"])
    (objective,) = (build(node).to(device) for node in config.objective.values())
    pair = Pair(Scale(width), MLP((width,), 8, 16, 0.1), Pixels(["draft"])).to(device)
    names = {"step": step, "objective": objective, "pair": pair, "real": torch.randn(n, width, device=device)}
    clock = time.process_time if device == "cpu" else default_clock
    timer = Timer("step(objective, pair, real)", globals=names, timer=clock)
    memory = peak(timer, device)  # warms up, too
    return Cost(1e3 * min(timer.blocked_autorange(min_run_time=0.1).times), memory)


def row(name: str, device: str) -> str:
    """A line of the table."""
    costs = {size: cost(name, *size, device) for size in SIZES}
    line = linear_regression([math.log(n) for n, _ in LARGE], [math.log(costs[it].time) for it in LARGE])
    in_d = math.log(costs[WIDE].time / costs[NARROW].time, WIDE[1] / NARROW[1])
    cells = [f"{c.time:.1f} | {c.memory:.0f}" for c in costs.values()]
    return f"| {name} | " + " | ".join(cells) + f" | {line.slope:.2f} | {in_d:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--objectives", nargs="*", default=objectives())
    arguments = parser.parse_args()
    heads = " | ".join(f"{n} x {width}: ms | MiB" for n, width in SIZES)
    print(f"| objective | {heads} | a | b |\n" + "|---" * (3 + 2 * len(SIZES)) + "|")
    for name in arguments.objectives:
        print(row(name, arguments.device), flush=True)


if __name__ == "__main__":
    main()
