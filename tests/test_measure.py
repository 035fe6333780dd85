"""Measures of stored texts: closed forms, a reference library, and what copies and collapses must score."""

import math
from collections import Counter
from itertools import pairwise

import numpy
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchmetrics.text import BLEUScore

from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.measure.base import TextMeasure
from stable_diffusion_lab.measure.bleu import bleu, self_bleu
from stable_diffusion_lab.measure.copying import Copying
from stable_diffusion_lab.measure.hashing import count_ngrams
from stable_diffusion_lab.measure.ngram_divergence import NGramDivergence
from stable_diffusion_lab.measure.ngram_model import NGramModel
from stable_diffusion_lab.measure.words import whole_words
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.modality.text import Text
from stable_diffusion_lab.modality.tokenizer.characters import Characters

LINES = [
    "the cat sat on the mat",
    "the dog sat on the cat",
    "a mat is a mat",
    "the the the the",
    "on the mat",
]


def text() -> Text:
    tokenizer = Characters(30)
    tokenizer.learn(LINES)
    return Text(tokenizer)


def stored(*lines: str, length: int = 24) -> Tensor:
    rows = torch.zeros(len(lines), length, dtype=torch.int16)
    for row, line in zip(rows, lines, strict=True):
        row[: len(line)] = torch.from_numpy(text().tokenizer.encode(line))
    return rows


def measure(name: str) -> TextMeasure:
    config = compose("train", ["data=text", "data.path=x", f"measure=[{name}]"])
    found = build(config.measure[name])
    found.prepare(text(), stored(*LINES))
    return found


NAMES = ["ngram_divergence", "words", "bleu", "copying", "perplexity"]


@pytest.mark.parametrize("name", NAMES)
def test_each_says_its_names_and_refuses_images(name: str) -> None:
    found = measure(name)
    values = found(stored(*LINES[:3]), stored(*LINES[2:]))
    assert values.keys() == found.higher_is_better.keys()
    assert all(math.isfinite(value) for value in values.values())
    with pytest.raises(ConfigError, match="samples are images"):
        found.prepare(Image(), torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_ngrams_are_counted_up_to_the_first_end(n: int) -> None:
    rows = torch.randint(0, 4, (50, 9), generator=torch.Generator().manual_seed(n)).to(torch.int16)
    truth: Counter[tuple[int, ...]] = Counter()
    for row in rows.tolist():
        kept = row[: row.index(0) + 1] if 0 in row else row
        truth.update(tuple(kept[i : i + n]) for i in range(len(kept) - n + 1))
    assert sorted(count_ngrams(rows, n).counts.tolist()) == sorted(truth.values())


def test_divergence_of_known_frequencies() -> None:
    values = NGramDivergence()(torch.tensor([[1, 1, 1, 2]]), torch.tensor([[1, 2, 2, 2]]))
    p, q = numpy.array([0.75, 0.25]), numpy.array([0.25, 0.75])
    expected = (p * numpy.log2(p / 0.5)).sum() / 2 + (q * numpy.log2(q / 0.5)).sum() / 2
    assert values["js1"] == pytest.approx(expected)
    same, apart = torch.randint(1, 9, (30, 12)), torch.randint(9, 19, (30, 12))
    assert list(NGramDivergence()(same, same).values()) == pytest.approx([0.0] * 10)
    assert list(NGramDivergence()(same, apart).values())[:5] == pytest.approx([1.0] * 5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_kl_is_that_of_counts_with_a_half_more_each(n: int) -> None:
    rng = torch.Generator().manual_seed(n)
    real, generated = (torch.randint(0, most, (60, 11), generator=rng) for most in (5, 4))
    counts = []
    for texts in (real.tolist(), generated.tolist()):
        kept = [text[: text.index(0) + 1] if 0 in text else text for text in texts]
        counts.append(Counter(tuple(it[i : i + n]) for it in kept for i in range(len(it) - n + 1)))
    either = sorted(counts[0] | counts[1])
    p, q = ([one[gram] + 0.5 for gram in either] for one in counts)
    found = NGramDivergence()(real, generated)
    assert found[f"kl{n}"] == pytest.approx(stats.entropy(p, q, base=2))
    assert found[f"kl{n}"] != pytest.approx(NGramDivergence()(generated, real)[f"kl{n}"])


def test_kl_punishes_what_is_missing_more_than_what_is_too_much() -> None:
    both, one = torch.tensor([[1, 2] * 8]), torch.tensor([[1] * 16])
    assert NGramDivergence()(both, one)["kl1"] > 1.5 * NGramDivergence()(one, both)["kl1"]


def test_of_ngrams_that_all_occur_once_little_can_be_said() -> None:
    real, generated = torch.arange(1, 2001)[None], torch.arange(2001, 4001)[None]
    found = NGramDivergence()(real, generated)
    assert found["kl1"] == pytest.approx(0.5 * math.log2(3)) and found["js1"] == pytest.approx(1)


def test_texts_too_short_for_an_ngram_do_not_differ_in_it() -> None:
    short = torch.tensor([[3, 0, 0, 0, 0, 0]])
    assert NGramDivergence()(short, short)["kl5"] == 0


def sentences(n: int, seed: int) -> list[list[str]]:
    rng = numpy.random.default_rng(seed)
    return [[*rng.choice(["a", "b", "c", "d"], rng.integers(3, 9))] for _ in range(n)]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bleu_is_torchmetrics(order: int) -> None:
    samples, references = sentences(12, 0), sentences(9, 1)
    shared = [" ".join(it) for it in references]
    reference = BLEUScore(order)([" ".join(it) for it in samples], [shared] * len(samples))
    assert bleu(samples, references, order) == pytest.approx(reference.item(), abs=1e-6)
    joined = [" ".join(it) for it in samples]
    others = [joined[:i] + joined[i + 1 :] for i in range(len(joined))]
    assert self_bleu(samples, order) == pytest.approx(BLEUScore(order)(joined, others).item(), abs=1e-6)


def test_samples_that_are_all_the_same_are_each_others_copies() -> None:
    assert self_bleu([["a", "b", "c", "d"]] * 5, 3) == pytest.approx(1)
    assert self_bleu([["a", "b", "c"], ["d", "e", "f"]], 2) == 0


def test_words_count_letter_for_letter_but_for_the_last_one() -> None:
    found = whole_words("The cat's na\u00efve hat, 7 well-known ha")
    assert found == ["The", "cat's", "na\u00efve", "hat", "well-known"]
    values = measure("words")(stored(*LINES), stored("the cat sta on the mat a", "cat the cat a"))
    assert values["words"] == pytest.approx(8 / 9)
    words = [["the", "cat", "sta", "on", "the", "mat"], ["cat", "the", "cat"]]
    pairs = [pair for line in words for pair in pairwise(line)]
    assert values["distinct1"] == pytest.approx(5 / 9)
    assert values["distinct2"] == pytest.approx(len(set(pairs)) / len(pairs))


def test_copies_are_found_and_so_is_the_longest() -> None:
    copying = Copying(n=6)
    copying.prepare(text(), stored(*LINES))
    found = copying(stored("a mat is on the dog"), stored("XX cat sat on XX the dXX"))
    assert found["copy"] == len(" cat sat on ") and found["copy_real"] == len("a mat is ")
    truth = [any("XX cat sat on XX the dXX"[i : i + 6] in line for line in LINES) for i in range(19)]
    assert found["copied"] == pytest.approx(sum(truth) / len(truth))
    assert copying(stored(*LINES), stored(*LINES))["copied"] == 1


def test_probabilities_of_the_model_add_up_and_follow_the_formula() -> None:
    rows = torch.tensor([[1, 2, 1, 2, 1, 3]])
    model = NGramModel(rows, order=2, vocabulary=4)
    model.overlap = 1.0
    contexts = torch.tensor([[1, token] for token in range(4)])
    chances = numpy.exp(model.log_prob(contexts)[0][:, 1])
    assert chances.sum() == pytest.approx(1)
    single = (2 + 3 / 4) / (6 + 3)  # p(2): twice of six, three kinds
    assert chances[2] == pytest.approx((2 + 2 * single) / (3 + 2))


def test_text_of_the_training_kind_is_less_perplexing_than_noise() -> None:
    perplexity = measure("perplexity")
    noise = torch.randint(2, 14, (20, 24))
    assert perplexity.of(stored("the cat is on the mat")) < 0.3 * perplexity.of(noise)  # type: ignore[attr-defined]
