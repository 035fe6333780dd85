"""Rivals of the pair on text: maximum-likelihood GRU, small GPT, and interpolated n-grams, over temperatures.

    python benchmarks/text.py --seconds 240 --runs runs/<date>/*-shakespeare

Every rival learns from the same windows for the same time on one thread, draws as many samples as the test
split has, and is judged by the metrics and measures of the experiment. Each temperature is a row: fidelity
against diversity. Runs of ``sdlab train`` join the table with their drafts and refinements. Writes JSON and a
picture of the curve.
"""

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from matplotlib import pyplot
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.judge import judge
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.layer.attention import Block
from stable_diffusion_lab.layer.ending import END, alive
from stable_diffusion_lab.measure.ngram_model import NGramModel
from stable_diffusion_lab.training.evaluator import Evaluator

BATCH = 64
PEAK_RATE = 2e-3
COLUMNS = (
    "fd",
    "precision",
    "recall",
    "js1",
    "js3",
    "js5",
    "kl3",
    "words",
    "distinct2",
    "bleu",
    "self_bleu",
    "copied",
    "ngram_ppl",
)
Row = dict[str, float]


class Rival(ABC):
    """Draws texts token by token."""

    @abstractmethod
    def nats(self, stored: Tensor) -> float:
        """Mean -log p of a token of texts ``[N, L]``."""

    @abstractmethod
    def log_probs(self, written: Tensor) -> Tensor:
        """log p of each next token ``[N, V]`` after what is written ``[N, t]``."""

    def draw(self, n: int, length: int, temperature: float, seed: int) -> Tensor:
        """Texts ``[n, length]``."""
        rng = torch.Generator().manual_seed(seed)
        written = torch.zeros(n, 0, dtype=torch.int64)
        for _ in range(length):
            chances = (self.log_probs(written) / temperature).softmax(dim=1)
            drawn = torch.multinomial(chances, 1, generator=rng)
            ended = (written == END).any(dim=1, keepdim=True)
            written = torch.cat([written, drawn.masked_fill(ended, END)], dim=1)
        return written


class Network(Rival, nn.Module):
    """A language model that learns by maximum likelihood. Token 0, the end, also stands before the text."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    @abstractmethod
    def forward(self, before: Tensor) -> Tensor:
        """Scores ``[N, t, V]`` of the tokens that follow each of ``[N, t]``."""

    def losses(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """-log p of each token, and which are of the text, ``[N, L]``."""
        tokens = stored.long()
        scores = self(functional.pad(tokens, (1, 0))[:, :-1])
        return functional.cross_entropy(scores.mT, tokens, reduction="none"), alive(tokens == END)

    def learn(self, train: Tensor, seconds: float) -> "Network":
        """Adam with half a cosine, for so many seconds of this process."""
        optimizer = torch.optim.Adam(self.parameters(), PEAK_RATE, betas=(0.9, 0.99))
        begun = time.process_time()
        while (share := (time.process_time() - begun) / seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * 0.5 * (1 + float(numpy.cos(numpy.pi * share)))
            each, inside = self.losses(train[torch.randint(len(train), (BATCH,))])
            optimizer.zero_grad()
            (each * inside).sum().div(inside.sum()).backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()
        return self.eval()

    @torch.no_grad()
    def nats(self, stored: Tensor) -> float:
        each, inside = self.losses(stored)
        return each[inside].mean().item()

    @torch.no_grad()
    def log_probs(self, written: Tensor) -> Tensor:
        return self(functional.pad(written, (1, 0)))[:, -1].log_softmax(dim=1)


class GRU(Network):
    """One recurrent layer."""

    def __init__(self, vocabulary: int, width: int = 64, hidden_dim: int = 256) -> None:
        super().__init__(vocabulary, width)
        self.body = nn.GRU(width, hidden_dim, batch_first=True)
        self.leave = nn.Linear(hidden_dim, vocabulary)

    def forward(self, before: Tensor) -> Tensor:
        return self.leave(self.body(self.embedding(before))[0])


class GPT(Network):
    """A small decoder-only transformer."""

    def __init__(
        self, vocabulary: int, length: int, width: int = 128, heads: int = 4, blocks: int = 3
    ) -> None:
        super().__init__(vocabulary, width)
        self.places = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        self.body = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, before: Tensor) -> Tensor:
        return self.leave(self.body(self.embedding(before) + self.places[: before.shape[1]]))


class NGrams(Rival):
    """Interpolated n-grams of the training text."""

    def __init__(self, train: Tensor, vocabulary: int, order: int = 6) -> None:
        self.model = NGramModel(train, order, vocabulary)

    def nats(self, stored: Tensor) -> float:
        each, inside = self.model.log_prob(stored)
        return float(-each[inside].mean())

    def log_probs(self, written: Tensor) -> Tensor:
        vocabulary = self.model.vocabulary
        context = written[:, max(0, written.shape[1] - self.model.order + 1) :].repeat_interleave(
            vocabulary, dim=0
        )
        following = torch.arange(vocabulary).repeat(len(written))[:, None]
        each, _ = self.model.log_prob(torch.cat([context, following], dim=1))
        return torch.from_numpy(each[:, -1]).view(len(written), vocabulary)


def score(evaluator: Evaluator, stored: Tensor) -> Row:
    """Values of texts ``[N, L]`` against the test split."""
    samples = stored.to(evaluator.data.test.samples.dtype)
    return evaluator.compare("test", evaluator.extractor.extract(samples), samples)


def rivals(data: Data, seconds: float) -> dict[str, Rival]:
    """All rivals, having learnt."""
    length, vocabulary = data.shape
    train = data.train.samples
    return {
        "gru": GRU(vocabulary).learn(train, seconds),
        "gpt": GPT(vocabulary, length).learn(train, seconds),
        "ngrams": NGrams(train[:: max(1, data.overlap // 2)], vocabulary),
    }


def pair_rows(run: Path, evaluator: Evaluator) -> dict[str, Row]:
    """Draft and refinement of a run, and bounds on the cost of a held-out token."""
    model = load(run).model
    found = evaluator.score(model, "test")
    rows: dict[str, Row] = {f"{run.name} {stage}": {} for stage in ("draft", "refined")}
    for name, value in found.items():
        stage, metric = name.split("/")
        rows[f"{run.name} {stage}"][metric] = value
    bounds = evaluator.log_likelihood(model, "test")
    rows[f"{run.name} refined"] |= {"nats": -bounds["iwae"], "nats_elbo": -bounds["elbo"]}
    return rows


def show(rows: dict[str, Row]) -> None:
    """A line for each row; nats are of a held-out token, of the pair an upper bound (IWAE)."""
    table = Table()
    for name in ("", "nats", *COLUMNS):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.3g}" if key in row else "" for key in ("nats", *COLUMNS)))
    Console(width=180).print(table)


def picture(rows: dict[str, Row], path: Path) -> None:
    """Fidelity (words) against diversity (distinct-2), a curve for each rival."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, row in rows.items():
        curves.setdefault(name.split(" T=")[0], []).append((row["distinct2"], row["words"]))
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xlabel="distinct-2", ylabel="share of words of the training text")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150, bbox_inches="tight")


def options() -> argparse.Namespace:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("overrides", nargs="*", default=["experiment=shakespeare"], help="as for sdlab train")
    parser.add_argument("--seconds", type=float, default=240, help="of training for each network")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.7, 0.85, 1.0, 1.2])
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="of sdlab train on the same data")
    parser.add_argument("--n", type=int, default=None, help="samples of each; as many as the test split has")
    parser.add_argument("--out", type=Path, default=Path("text.json"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(overrides: Sequence[str], given: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    config = compose("train", overrides)
    data: Data = build(config.data)
    evaluator = judge(config, data, given.n, given.seed)
    test = data.test.samples
    rows: dict[str, Row] = {"training text": evaluator.floor("test"), "test text": score(evaluator, test)}
    for run in given.runs:
        rows |= pair_rows(run, evaluator)
    for name, rival in rivals(data, given.seconds).items():
        nats = rival.nats(test)
        for temperature in given.temperatures:
            drawn = rival.draw(evaluator.count("test"), data.shape[0], temperature, given.seed)
            rows[f"{name} T={temperature:g}"] = {"nats": nats, **score(evaluator, drawn)}
    show(rows)
    given.out.write_text(json.dumps(rows, indent=2))
    picture(rows, given.out.with_suffix(".png"))


if __name__ == "__main__":
    chosen = options()
    main(chosen.overrides, chosen)
