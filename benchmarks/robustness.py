"""How much an objective depends on its settings: the article's claim, put to the test.

    python benchmarks/robustness.py [--seconds 10] [--jobs 2] [--out results/robustness]

MNIST in the latents of one shared refiner, from one Gaussian. Around each objective's own defaults, and the
learning rate that ``objectives.py`` has found best for it, one thing at a time is varied: the seed (three),
the batch (1/4, 4), its main knob (1/10, 10), its learning rate (1/3, 3). Draws, for each objective, every
cell, their median and the worst. Wants the results of ``objectives.py`` (``--tuned``). May be stopped and
started again.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
from cell import Cell, read, run_all
from matplotlib import pyplot
from objectives import SPACES, best_rates, learning_rates
from omegaconf import OmegaConf

from stable_diffusion_lab.command.compose import compose

SEEDS = (0, 1, 2)
BATCH = 128  # of the experiment
SPACE = SPACES["latents"]
COLOURS = {"seed": "black", "batch": "tab:blue", "knob": "tab:orange", "rate": "tab:green"}

# The main knob of each objective that has one; ``energy`` has none.
CRITICS = ("density_ratio", "hinge", "least_squares", "non_saturating")
KNOBS: dict[str, tuple[str, ...]] = {
    "drift": ("objective.drift.temperatures",),
    "imle": ("objective.imle.pool",),
    "max_sliced_wasserstein": ("objective.max_sliced_wasserstein.directions",),
    "mmd": ("objective.mmd.bandwidths",),
    "mmd_linear": ("objective.mmd_linear.bandwidths",),
    "relativistic": ("regularizer.r1.gamma", "regularizer.r2.gamma"),
    "reverse_kl": ("objective.reverse_kl.noise_scale",),
    "score_difference": ("objective.score_difference.highest",),
    "sharp_drift": ("objective.sharp_drift.temperatures",),
    "sinkhorn": ("objective.sinkhorn.temperature",),
    "sliced_wasserstein": ("objective.sliced_wasserstein.directions",),
    "wasserstein_gp": ("regularizer.gradient_penalty.weight",),
    **dict.fromkeys(CRITICS, ("regularizer.r1.gamma",)),
}

Result = dict[str, Any]


def turned(objective: str, factor: float) -> tuple[str, ...]:
    """Overrides: the objective's knob at so many times its default."""
    config = compose("train", [*SPACE.words, f"objective={objective}"])

    def scaled(value: Any) -> Any:
        return max(1, round(value * factor)) if isinstance(value, int) else float(f"{value * factor:.6g}")

    values = {key: OmegaConf.select(config, key) for key in KNOBS.get(objective, ())}
    many = {key: [scaled(v) for v in value] for key, value in values.items() if OmegaConf.is_list(value)}
    one = {key: scaled(value) for key, value in values.items() if key not in many}
    return tuple(f"{key}={value}".replace(" ", "") for key, value in (one | many).items())


def variations(objective: str, rate: float) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Names, overrides and seeds: the centre from every seed, and one step to either side along each axis."""
    for seed in SEEDS:
        yield f"seed {seed}", (), seed
    for factor in (0.25, 4):
        yield f"batch x{factor:g}", (f"batch_size={round(BATCH * factor)}",), SEEDS[0]
    for factor in (1 / 3, 3):
        yield f"rate x{factor:.2g}", learning_rates(rate * factor), SEEDS[0]
    for factor in (0.1, 10) if objective in KNOBS else ():
        yield f"knob x{factor:g}", turned(objective, factor), SEEDS[0]


def cells(options: argparse.Namespace) -> list[Cell]:
    """All runs."""
    path = options.tuned / "results.jsonl"
    tuned = best_rates(read(path)) if path.exists() else {}
    if missing := [name for name in options.objectives if (name, "latents") not in tuned]:
        raise SystemExit(f"{path}: no rates for {', '.join(missing)}; run objectives.py, or set --tuned")
    found = []
    for objective in options.objectives:
        rate = SPACE.rate * tuned[objective, "latents"]
        words = (*SPACE.words, "metric=[frechet]", f"objective={objective}", *learning_rates(rate))
        for variation, extra, seed in variations(objective, rate):
            labels = {"objective": objective, "variation": variation}
            name, refiner = f"{objective} {variation}", str(options.tuned / "refiner.pt")
            found.append(Cell(name, (*words, *extra), options.seconds, seed, refiner, "validation", labels))
    return found


def distance(result: Result) -> float:
    """Refined Frechet distance; infinite for a run that failed."""
    return result["scores"]["refined/fd"] if "scores" in result else float("inf")


def by_objective(results: list[Result]) -> dict[str, list[Result]]:
    """Each objective's cells, best first; the objective with the lowest median first."""
    names = {result["objective"] for result in results}
    groups = {
        name: sorted((r for r in results if r["objective"] == name), key=distance) for name in sorted(names)
    }
    return dict(sorted(groups.items(), key=lambda group: statistics.median(map(distance, group[1]))))


def picture(groups: dict[str, list[Result]], path: Path) -> None:
    """A row for each objective: its cells, their median, and the worst."""
    figure, panel = pyplot.subplots(figsize=(9, 0.4 * len(groups) + 1.5))
    for row, group in enumerate(reversed(groups.values())):
        values = [distance(result) for result in group]
        for axis, colour in COLOURS.items():
            places = [distance(result) for result in group if result["variation"].startswith(axis)]
            panel.plot(places, [row] * len(places), "o", color=colour, alpha=0.5)
        panel.plot(statistics.median(values), row, "|", color="black", markersize=18, markeredgewidth=2)
        panel.plot(values[-1], row, "x", color="tab:red", markersize=9, markeredgewidth=2)
    panel.set_yticks(range(len(groups)), list(reversed(groups)))
    panel.set(xscale="log", xlabel="Frechet distance, refined, validation split (bar: median, cross: worst)")
    for axis, colour in COLOURS.items():
        panel.plot([], [], "o", color=colour, label=axis)
    panel.legend(title="varied", frameon=False)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    """Run what is missing, and draw."""
    parser = common.options(__doc__, 10.0, "results/robustness")
    parser.add_argument("--objectives", nargs="+", default=common.objectives())
    parser.add_argument("--tuned", type=Path, default=Path("results/objectives"), help="of objectives.py")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    groups = by_objective(run_all(cells(options), options.out / "results.jsonl", options.jobs))
    picture(groups, options.out / "robustness.png")
    print("| objective | best | median | worst | worst cell |\n|---|---|---|---|---|")
    for name, group in groups.items():
        middle = statistics.median(map(distance, group))
        ends = f"{distance(group[0]):.3g} | {middle:.3g} | {distance(group[-1]):.3g}"
        print(f"| `{name}` | {ends} | {group[-1]['variation']} |")


if __name__ == "__main__":
    main()
