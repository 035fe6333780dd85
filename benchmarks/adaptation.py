"""Whether following the comparison helps: every way of adapting on the same sum of two objectives.

    python benchmarks/adaptation.py [--seeds 3] [--jobs 2] [--out results/adaptation] [words of sdlab train]

Digits, whole runs: the refiner learns first, then the generator from ``objective=[sinkhorn,reverse_kl]``,
whose terms differ in size. Prints two Markdown tables, mean and standard deviation over the seeds: of the
validation split, by which a default may be chosen, and of the test split, which says what that is worth.
Runs that are there already are read and not repeated.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import spread

from stable_diffusion_lab.command.config_path import CONF

WORDS = ("objective=[sinkhorn,reverse_kl]", "logger=none", "data=digits")
SHOWN = ("fd", "precision", "recall", "density", "coverage")

Scores = dict[str, dict[str, float]]
FILES = {"validation": "evaluation-validation.json", "test": "test.json"}


def sdlab(*words: str) -> None:
    """The program, in a process of its own."""
    command = [sys.executable, "-m", "stable_diffusion_lab", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run(adapt: str, seed: int, options: argparse.Namespace) -> dict[str, Scores]:
    """Scores of a run on each split; what is missing of it is made."""
    runs = options.out / f"{adapt}-{seed}"
    if not list(runs.glob("*/*/test.json")):
        sdlab("train", *WORDS, f"adapt={adapt}", f"seed={seed}", f"runs={runs}", *options.words)
        print(f"{adapt} seed {seed}", file=sys.stderr, flush=True)
    (folder,) = (path.parent for path in runs.glob("*/*/test.json"))
    if not (folder / FILES["validation"]).exists():
        sdlab("evaluate", f"run={folder}", "split=validation")
    return {split: json.loads((folder / file).read_text())["scores"] for split, file in FILES.items()}


def row(adapt: str, stage: str, found: list[Scores]) -> str:
    """A line of the table."""
    return (
        f"| {adapt} | {stage} |" + "|".join(spread([f[stage][name] for f in found]) for name in SHOWN) + "|"
    )


def main() -> None:
    """Train what is missing, and print the table."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--out", type=Path, default=Path("results/adaptation"))
    parser.add_argument("words", nargs="*", help="further words of sdlab train")
    options = parser.parse_args()
    adapts = sorted(path.stem for path in (CONF / "adapt").glob("*.yaml"))
    with ThreadPoolExecutor(options.jobs) as pool:
        cells = {(a, s): pool.submit(run, a, s, options) for s in range(options.seeds) for a in adapts}
        found = {key: future.result() for key, future in cells.items()}
    for split in FILES:
        print(f"\n{split}\n\n| adapt | stage |" + "|".join(SHOWN) + "|\n" + "|---" * (2 + len(SHOWN)) + "|")
        for stage in ("draft", "refined"):
            for adapt in adapts:
                print(row(adapt, stage, [found[adapt, seed][split] for seed in range(options.seeds)]))


if __name__ == "__main__":
    main()
