"""How much an objective depends on its settings: the article's claim, put to the test.

    python benchmarks/robustness.py [--seconds 20] [--jobs 2] [--out results/robustness]

MNIST in the latents of one shared refiner, from one Gaussian. Around each objective's own defaults, and the
learning rate that ``objectives.py`` has found best for it, one thing at a time is varied: the batch (1/4, 4),
its main knob (1/10, 10), its learning rate (1/3, 3), each with three seeds. Draws, for each objective, every
cell, their median and the worst. May be stopped and started again.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
from cell import Cell, read, run_all
from matplotlib import pyplot
from objectives import SPACES, best_rates, learning_rates

SEEDS = (0, 1, 2)
BATCH = 128  # of the experiment
SPACE = SPACES["latents"]

# The main knob of each objective that has one number for it: its keys, and its default.
KNOBS: dict[str, tuple[tuple[str, ...], float]] = {
    "sinkhorn": (("objective.sinkhorn.temperature",), 0.05),
    "score_difference": (("objective.score_difference.highest",), 2.0),
    "density_ratio": (("regularizer.r1.gamma",), 1.0),
    "hinge": (("regularizer.r1.gamma",), 1.0),
    "least_squares": (("regularizer.r1.gamma",), 1.0),
    "non_saturating": (("regularizer.r1.gamma",), 1.0),
    "relativistic": (("regularizer.r1.gamma", "regularizer.r2.gamma"), 0.1),
    "wasserstein_gp": (("regularizer.gradient_penalty.weight",), 5.0),
}


def variations(objective: str, rate: float) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names and overrides: the centre, and one step to either side along each axis."""
    yield "centre", ()
    for factor in (0.25, 4):
        yield f"batch x{factor:g}", (f"batch_size={round(BATCH * factor)}",)
    for factor in (1 / 3, 3):
        yield f"rate x{factor:.2g}", learning_rates(rate * factor)
    if objective in KNOBS:
        keys, value = KNOBS[objective]
        for factor in (0.1, 10):
            yield f"knob x{factor:g}", tuple(f"{key}={value * factor}" for key in keys)


def cells(options: argparse.Namespace) -> list[Cell]:
    """All runs, seed by seed, so that a benchmark that is stopped early has seen everything once."""
    tuned = best_rates(read(options.tuned / "results.jsonl"))
    rates = {name: SPACE.rate * tuned[name, "latents"] for name in options.objectives}
    words = (*SPACE.words, "metric=[frechet]")
    return [
        Cell(
            f"{objective} {variation}",
            (*words, f"objective={objective}", *learning_rates(rates[objective]), *extra),
            options.seconds,
            seed,
            str(options.tuned / "refiner.pt"),
            labels={"objective": objective, "variation": variation},
        )
        for seed in SEEDS
        for objective in options.objectives
        for variation, extra in variations(objective, rates[objective])
    ]


def summary(results: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Refined Frechet distances of each objective's cells, sorted; the worst of all for a run that failed."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        found[result["objective"]].append(
            result["scores"]["refined/fd"] if "scores" in result else float("inf")
        )
    return {
        name: sorted(values) for name, values in sorted(found.items(), key=lambda x: statistics.median(x[1]))
    }


def picture(found: dict[str, list[float]], path: Path) -> None:
    """A row for each objective: its cells, their median, and the worst."""
    figure, panel = pyplot.subplots(figsize=(9, 0.45 * len(found) + 1.5))
    for row, values in enumerate(reversed(found.values())):
        panel.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.35)
        panel.plot(statistics.median(values), row, "|", color="black", markersize=18, markeredgewidth=2)
        panel.plot(values[-1], row, "x", color="tab:red", markersize=9, markeredgewidth=2)
    panel.set_yticks(range(len(found)), list(reversed(found)))
    panel.set(xscale="log", xlabel="Frechet distance, refined (bar: median, cross: worst)")
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    """Run what is missing, and draw."""
    parser = common.options(__doc__, 20.0, "results/robustness")
    parser.add_argument("--objectives", nargs="+", default=common.objectives())
    parser.add_argument("--tuned", type=Path, default=Path("results/objectives"), help="of objectives.py")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = summary(run_all(cells(options), options.out / "results.jsonl", options.jobs))
    picture(found, options.out / "robustness.png")
    print("| objective | best | median | worst |\n|---|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {values[0]:.3g} | {statistics.median(values):.3g} | {values[-1]:.3g} |")


if __name__ == "__main__":
    main()
