"""Every objective, drafting in latents and in pixels, for the same time and behind the same refiner.

    python benchmarks/objectives.py [--seconds 20] [--jobs 2] [--out results/objectives]

MNIST, three seeds. First each objective picks its learning rates (both players', of 1/3, 1, 3 and 9 times
the experiment's, and threefold again as long as the highest is the best) by the Frechet distance of the
refined drafts on the validation split, in runs of half the time with a seed of their own; then it trains
with the best one, and is scored on the test split. Everything else is equal: nets, batch, optimiser,
refiner, one thread each. In latents the generator begins as one Gaussian, so that what is seen is the
objective's doing; pixels get twice the seconds and nets of half the experiment's width. Writes
``results.jsonl``, ``table.md`` and ``fidelity_diversity.png``.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import common
from cell import Cell, run_all, train_refiner
from matplotlib import pyplot

START = "(start)"
RATES = (1 / 3, 1.0, 3.0, 9.0)
SEEDS = (0, 1, 2)
TUNING_SEED = 100


class Space(NamedTuple):
    """Where drafts live: overrides, the experiment's learning rate, and the share of seconds."""

    words: tuple[str, ...]
    rate: float
    share: float


NARROW = ("generator.channels=16", "critic.width=16")
SPACES = {
    "latents": Space(("experiment=mnist", "generator.components=1"), 3e-4, 1),
    "pixels": Space(("experiment=mnist_dcgan", "schedule=head_start", *NARROW), 1e-3, 2),
}
METRICS = {
    "validation": "metric=[frechet]",
    "test": "metric=[frechet,kernel,precision_recall,density_coverage,knn_divergence,ratio_divergence]",
}
SHOWN = ("fd", "kd", "precision", "recall", "density", "coverage", "kl_knn", "kl_ratio")

Result = dict[str, Any]


def learning_rates(rate: float) -> tuple[str, ...]:
    """Overrides: both players learn at this rate."""
    return f"optimizer.generator={rate}", f"optimizer.adversary={rate}"


def cell(objective: str, space: str, rate: float, seed: int, split: str, options: argparse.Namespace) -> Cell:
    """One run."""
    seconds = options.seconds * SPACES[space].share * (0.5 if split == "validation" else 1)
    learning = SPACES[space].rate * rate
    labels = {"objective": objective, "space": space, "rate": rate, "split": split}
    name = f"{objective} {space} {rate:.2f} {split}"
    refiner = str(options.out / "refiner.pt")
    words = (*SPACES[space].words, METRICS[split], f"objective={objective}", *learning_rates(learning))
    return Cell(name, words, seconds, seed, refiner, split, labels)


def start(seed: int, options: argparse.Namespace) -> Cell:
    """Nobody learns: the one Gaussian that drafts in latents begin as."""
    words = (*SPACES["latents"].words, METRICS["test"], "generator=mixture", "objective=none")
    labels = {"objective": START, "space": "latents", "rate": 0, "split": "test"}
    return Cell(f"{START} latents test", words, 0, seed, str(options.out / "refiner.pt"), "test", labels)


def best_rates(results: Iterable[Result]) -> dict[tuple[str, str], float]:
    """The learning rate of each objective and space with the lowest distance on the validation split."""
    distances: defaultdict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for result in results:
        if result["split"] == "validation" and "scores" in result:
            distances[result["objective"], result["space"]][result["rate"]] = result["scores"]["refined/fd"]
    return {key: min(found, key=lambda rate: found[rate]) for key, found in distances.items()}


def tune(pairs: list[tuple[str, str]], options: argparse.Namespace) -> dict[tuple[str, str], float]:
    """The best learning rate of each objective and space, which is not the highest that was tried."""
    results: list[Result] = []
    climbing, rates = pairs, list(RATES)
    while climbing:
        cells = [cell(*pair, r, TUNING_SEED, "validation", options) for pair in climbing for r in rates]
        results += run_all(cells, options.out / "results.jsonl", options.jobs)
        best = best_rates(results)
        climbing = [pair for pair in climbing if best.get(pair) == rates[-1]]
        rates = [3 * rates[-1]]
    return best


def table(results: list[Result]) -> str:
    """Markdown, a row for each objective, space and stage, best refined distance first."""
    groups: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if result["split"] == "test" and "scores" in result:
            groups[result["space"], result["objective"]].append(result)

    def refined(group: list[Result]) -> float:
        return statistics.mean(result["scores"]["refined/fd"] for result in group)

    lines = [
        "| drafts in | objective | rate | steps | MiB | stage |" + "|".join(SHOWN) + "|",
        "|---" * (6 + len(SHOWN)) + "|",
    ]
    for (space, objective), group in sorted(groups.items(), key=lambda item: (item[0][0], refined(item[1]))):
        steps = round(statistics.mean(result["steps"] for result in group))
        memory = round(statistics.mean(result["peak_mib"] for result in group))
        for stage in ("draft", "refined"):
            scores = [
                common.spread([r["scores"].get(f"{stage}/{name}", float("nan")) for r in group])
                for name in SHOWN
            ]
            head = f"| {space} | {objective} | {group[0]['rate']:.2g} | {steps} | {memory} | {stage} |"
            lines.append(head + "|".join(scores) + "|")
    return "\n".join(lines) + "\n"


def picture(results: list[Result], path: Path) -> None:
    """Fidelity against diversity: precision and recall of each run, draft to refined."""
    spaces = [space for space in SPACES if any(r["space"] == space for r in results)]
    size = (6.5 * len(spaces), 6)
    figure, panels = pyplot.subplots(1, len(spaces), figsize=size, sharex=True, sharey=True, squeeze=False)
    names = [START, *common.objectives()]
    for panel, space in zip(panels[0], spaces, strict=True):
        for index, name in enumerate(names):
            runs = [r for r in results if (r["split"], r["space"], r["objective"]) == ("test", space, name)]
            scores = [r["scores"] for r in runs if "scores" in r]
            style = {"color": pyplot.get_cmap("tab20")(index % 20), "marker": "osD^v"[index // 4 % 5]}
            for stage, look in (("refined", {"label": name}), ("draft", {"alpha": 0.3})):
                recall, precision = (
                    [of[f"{stage}/{key}"] for of in scores] for key in ("recall", "precision")
                )
                panel.scatter(recall, precision, **look, **style)
        panel.set(title=f"drafts in {space}", xlabel="recall (diversity)", ylabel="precision (fidelity)")
    panels[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle("MNIST, a point for each run after equal time; refined solid, draft pale")
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    """Tune, train, and write the table and the picture."""
    parser = common.options(__doc__, 20.0, "results/objectives")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train_refiner(options.out / "refiner.pt", ["experiment=mnist"])
    pairs = [(objective, space) for space in options.spaces for objective in common.objectives()]
    rates = tune(pairs, options)
    final = [  # seed by seed: a benchmark that is stopped early has seen everything once
        cell(*pair, rates[pair], seed, "test", options) for seed in SEEDS for pair in pairs if pair in rates
    ]
    if "latents" in options.spaces:
        final += [start(seed, options) for seed in SEEDS]
    results = run_all(final, options.out / "results.jsonl", options.jobs)
    (options.out / "table.md").write_text(table(results))
    picture(results, options.out / "fidelity_diversity.png")
    print(table(results))


if __name__ == "__main__":
    main()
