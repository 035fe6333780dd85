"""The pair on text beside a maximum-likelihood GRU, a small GPT and interpolated n-grams.

    python benchmarks/text.py --seconds 300 --runs runs/<date>/*-shakespeare [--out results/text]

Every rival learns from the same windows for the same processor time on one thread, draws as many samples as
the test split has, and is judged by the metrics and measures of the experiment. Each temperature, and each
share of the largest probability below which tokens are cut, is a row: fidelity against diversity. Runs of
``sdlab train`` join the table with their drafts (in latents, at each temperature) and with the refinements of
the drafts of their own, at each cut; runs of one name are seeds of one row. ``real_kept`` is the share of the
real words of 400 drafts that their refinements have at the same place, ``other_kept`` of those that the
training text lacks. Writes ``results.jsonl``, ``table.md``, ``curves.png`` and ``samples.txt``, twenty of the
first run, none selected. May be stopped and started again; with other settings into another folder.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from common import spread
from matplotlib import pyplot
from rivals import GPT, GRU, NGrams, Rival
from torch import Tensor

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.judge import judge
from stable_diffusion_lab.command.load import Trained, load
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.measure.words import Words, placed
from stable_diffusion_lab.modality.text import Text
from stable_diffusion_lab.training.evaluator import Evaluator

COLUMNS = (
    *("nats", "fd", "precision", "recall", "mauve", "js1", "js2", "js3", "js4", "js5", "kl3", "words"),
    *("distinct2", "bleu", "self_bleu", "copied", "copy", "ngram_ppl", "real_kept", "other_kept"),
)
CROWD = 20
COMPARED = 400  # drafts whose words are looked for in their refinements
STYLES = {"temperature": "o-", "min_p": "s--"}  # of points, by dial
Row = dict[str, float]
Dials = dict[str, Sequence[float]]
Rows = dict[str, list[Row]]


def score(evaluator: Evaluator, stored: Tensor) -> Row:
    """Values of texts ``[N, L]`` against the test split."""
    samples = stored.to(evaluator.data.stored("test").dtype)
    return evaluator.compare("test", evaluator.extractor.extract(samples), samples)


def rivals(data: Data, seconds: float) -> Iterator[tuple[str, Rival]]:
    """Each rival, having learnt."""
    length, vocabulary = data.shape
    train = data.stored("train")
    yield "n-grams", NGrams(train[:: max(1, data.overlap // 2)], vocabulary)
    yield "GRU", GRU(vocabulary).learn(train, seconds)
    yield "GPT", GPT(vocabulary, length).learn(train, seconds)


def rival_rows(evaluator: Evaluator, seconds: float, dials: Dials, seed: int) -> dict[str, Row]:
    """Each rival at each setting of either dial, and what a held-out token costs it."""
    torch.manual_seed(seed)
    rows, data = {}, evaluator.data
    for name, rival in rivals(data, seconds):
        nats = rival.nats(data.stored("test"))
        for dial, settings in dials.items():
            for setting in settings:
                drawn = rival.draw(evaluator.count("test"), data.shape[0], seed, **{dial: setting})
                rows[f"{name} {dial}={setting:g}"] = {"nats": nats, **score(evaluator, drawn)}
    return rows


def pair_rows(run: Path, evaluator: Evaluator, dials: Dials) -> dict[str, Row]:
    """Drafts and refinements of a run, and a bound on the cost of a held-out token (IWAE)."""
    trained = load(run)
    model, name = trained.model, trained.config.name
    nats = -evaluator.log_likelihood(model, "test")["iwae"]
    rows: dict[str, Row] = {}
    for stage, dial in (("draft", "temperature"), ("refined", "min_p")):
        drawn = stage == "refined" or isinstance(model.space, Latents)  # by the refiner
        own = getattr(model.refiner, dial, None) if drawn else None
        for setting in dials[dial] if own is not None else [None]:
            if setting is not None:
                setattr(model.refiner, dial, setting)
            found = evaluator.score(model, "test")
            row = {key.split("/")[1]: value for key, value in found.items() if key.startswith(stage)}
            if stage == "refined":
                row |= words_kept(trained, evaluator)
            end = "" if setting is None else f" {dial}={setting:g}"
            rows[f"{name} {stage}{end}"] = {"nats": nats, **row}
        if own is not None:
            setattr(model.refiner, dial, own)
    return rows


def words_kept(trained: Trained, evaluator: Evaluator) -> Row:
    """Share of the real words of drafts, and of others, that stand in the refinement at the same place."""
    modality, words = trained.modality, evaluator.measures["words"]
    assert isinstance(modality, Text) and isinstance(words, Words)
    drafts, refined = (modality.texts(modality.to_stored(x)) for x in trained.model.generate(COMPARED, 0))
    stayed: defaultdict[bool, list[bool]] = defaultdict(list)
    for draft, refinement in zip(drafts, refined, strict=True):
        left = set(placed(refinement))
        for start, word in placed(draft):
            stayed[word in words.known].append((start, word) in left)
    return {"real_kept": mean(stayed[True] or [0]), "other_kept": mean(stayed[False] or [0])}


def table(rows: Rows) -> str:
    """Markdown; mean and standard deviation over seeds."""
    lines = ["| |" + "|".join(COLUMNS) + "|", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, seeds in rows.items():
        found = ([row[key] for row in seeds if key in row] for key in COLUMNS)
        lines.append(f"| {name} |" + "|".join(spread(values) if values else "" for values in found) + "|")
    return "\n".join(lines) + "\n"


def picture(rows: Rows, path: Path) -> None:
    """Two measures of fidelity against diversity (distinct-2), a curve over each dial of each rival."""
    figure, panels = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    curves: defaultdict[str, list[list[Row]]] = defaultdict(list)
    for name, seeds in rows.items():
        curves[name.split("=")[0]].append(seeds)
    families = [*dict.fromkeys(family(name) for name in curves)]
    for panel, key in zip(panels, ("words", "js3"), strict=True):
        for name, points in curves.items():
            places = [[mean(row[it] for row in seeds) for it in ("distinct2", key)] for seeds in points]
            colour = f"C{families.index(family(name))}"
            panel.plot(
                *zip(*places, strict=True), STYLES.get(name.split(" ")[-1], "*"), color=colour, label=name
            )
    panels[0].set(xlabel="distinct-2", ylabel="share of words of the training text")
    panels[1].set(xlabel="distinct-2", ylabel="trigrams, Jensen-Shannon divergence", yscale="log")
    panels[1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=110)


def family(name: str) -> str:
    """Whose curve it is, without its dial."""
    return " ".join(word for word in name.split(" ") if word not in STYLES)


def options() -> argparse.Namespace:
    """The command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("overrides", nargs="*", default=["experiment=shakespeare"], help="as for sdlab train")
    parser.add_argument("--seconds", type=float, default=300, help="of training for each network")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.4, 0.6, 0.8, 1.0])
    parser.add_argument("--min-p", type=float, nargs="+", default=[0.03, 0.1])
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="of sdlab train on the same data")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the rivals")
    parser.add_argument("--out", type=Path, default=Path("results/text"))
    return parser.parse_args()


def main(given: argparse.Namespace) -> None:
    """Train, draw, and write what is missing."""
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    config = compose("train", given.overrides)
    evaluator = judge(config, build(config.data), None, 0)
    path = given.out / "results.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    dials = {"temperature": given.temperatures, "min_p": given.min_p}
    jobs: dict[str, Callable[[], dict[str, Row]]] = {
        "text": lambda: {"training text": evaluator.floor("test")},
        **{str(run): partial(pair_rows, run, evaluator, dials) for run in given.runs},
        **{
            f"rivals {seed}": partial(rival_rows, evaluator, given.seconds, dials, seed)
            for seed in given.seeds
        },
    }
    with path.open("a") as file:
        for job, make in jobs.items():
            if job not in {entry["job"] for entry in done}:
                done.append({"job": job, "rows": make()})
                file.write(json.dumps(done[-1]) + "\n")
                file.flush()
                print(job, flush=True)
    rows: Rows = defaultdict(list)
    for entry in done:
        for name, row in entry["rows"].items():
            rows[name].append(row)
    (given.out / "table.md").write_text(table(rows))
    picture(rows, given.out / "curves.png")
    if given.runs:
        trained = load(given.runs[0])
        drawn = trained.model.generate(CROWD, 0)
        stored = {name: trained.modality.to_stored(stage) for name, stage in drawn._asdict().items()}
        (given.out / "samples.txt").write_bytes(trained.modality.exhibit(stored))
    print(table(rows))


if __name__ == "__main__":
    main(options())
