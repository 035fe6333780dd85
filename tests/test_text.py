"""Text: from files to tokens and back, networks that read and write it, and what is said about bad files."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.batch import Batch, Draft, Observation
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.sample import draw
from stable_diffusion_lab.data.cut.documents import Documents
from stable_diffusion_lab.data.cut.lines import Lines
from stable_diffusion_lab.data.cut.windows import Windows
from stable_diffusion_lab.data.text import Text
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.extractor.ngrams import NGrams
from stable_diffusion_lab.generator.mlp import MLP
from stable_diffusion_lab.generator.recurrent import Recurrent
from stable_diffusion_lab.layer.drawing import coupled, drawn, truncated, uniform
from stable_diffusion_lab.layer.ending import END, alive
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.layer.straight_through import gumbel, most_probable
from stable_diffusion_lab.modality import text as modality
from stable_diffusion_lab.modality.tokenizer.base import Tokenizer
from stable_diffusion_lab.modality.tokenizer.bytes import Bytes
from stable_diffusion_lab.modality.tokenizer.characters import Characters
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refinement.evidence import Evidence
from stable_diffusion_lab.refiner.sequence import Sequence
from stable_diffusion_lab.training.evaluator import Evaluator

VERSE = "The cat sat on the mat; the dog, naïve, ate the cat's hat.\nWho was it? It was I, said the fly.\n"
STORY = VERSE * 40


def bpe() -> Tokenizer:
    pytest.importorskip("tokenizers", reason="the extra `text` is not installed")
    from stable_diffusion_lab.modality.tokenizer.bpe import BPE

    return BPE(280)


TOKENIZERS = {"characters": lambda: Characters(60), "bytes": Bytes, "bpe": bpe}
EACH = pytest.mark.parametrize("name", TOKENIZERS)


def learnt(name: str) -> Tokenizer:
    tokenizer = TOKENIZERS[name]()
    tokenizer.learn([STORY])
    return tokenizer


@EACH
def test_text_survives_the_way_to_tokens_and_back(name: str) -> None:
    tokenizer = learnt(name)
    tokens = tokenizer.encode(VERSE)
    assert tokenizer.decode(tokens.tolist()) == VERSE
    assert tokens.min() > Tokenizer.UNKNOWN and tokens.max() < tokenizer.size
    assert len(tokenizer.pieces()) == tokenizer.size


@EACH
def test_a_run_folder_brings_the_vocabulary_back(name: str) -> None:
    tokenizer = learnt(name)
    again = build(modality.Text(tokenizer).node())
    assert again.tokenizer.encode(VERSE).tolist() == tokenizer.encode(VERSE).tolist()
    assert again.tokenizer.pieces() == tokenizer.pieces()


def test_a_vocabulary_with_what_configs_take_for_a_reference_comes_back() -> None:
    tokenizer = Characters(9)
    tokenizer.learn(["${a}\\'\""])
    assert build(tokenizer.node()).decode(tokenizer.encode("${a}").tolist()) == "${a}"


def test_the_most_frequent_characters_are_known_and_the_others_are_not() -> None:
    tokenizer = Characters(4)
    tokenizer.learn(["aaabbc", "c c"])
    assert tokenizer.decode(tokenizer.encode("abc").tolist()) == "a\ufffdc"


def test_pieces_join_what_occurs_together() -> None:
    tokenizer = bpe()
    tokenizer.learn([STORY])
    assert " the" in tokenizer.pieces()
    assert len(tokenizer.encode("the cat")) < len("the cat")
    for one in (tokenizer, type(tokenizer)(tokenizer.size, tokenizer.state())):
        tokens = one.encode("a <end> of <unknown>")
        assert tokens.min() >= 2 and one.decode(tokens) == "a <end> of <unknown>", "names of tokens are text"


def words(length: int = 12) -> tuple[modality.Text, Tensor]:
    text = modality.Text(learnt("characters"))
    rows = [text.tokenizer.encode(line)[:length] for line in ("The cat", "a hat.\nIt", "")]
    return text, torch.stack(
        [functional.pad(torch.from_numpy(row), (0, length - len(row))) for row in rows]
    ).to(text.dtype)


def test_samples_are_one_hot_and_stored_tokens_end_once() -> None:
    text, stored = words()
    sample = text.to_sample(stored)
    assert sample.shape == (3, 12, 60) and (sample.sum(-1) == 1).all()
    assert torch.equal(text.to_stored(sample), stored) and text.to_stored(sample).dtype == stored.dtype
    muddled = sample.clone()
    muddled[0, 9] = functional.one_hot(torch.tensor(5), 60)
    assert torch.equal(text.to_stored(muddled), stored), "what is after the end is the end"


def test_lines_escape_what_would_break_them() -> None:
    text, stored = words()
    assert text.texts(stored) == ["The cat", "a hat.\nIt", ""]
    assert text.lines(stored) == ["The cat", "a hat.\\nIt", ""]
    wild = "a\\b\r\n\x0b\x0c\x1c\x85\u2028\u2029"
    escaped = modality.escape(wild)
    assert escaped.splitlines() == [escaped]
    assert escaped.encode("latin-1").decode("unicode_escape") == wild


def test_a_page_shows_draft_and_refinement_together() -> None:
    text, stored = words()
    page = text.exhibit({"draft": stored, "refined": stored.flip(0)}).decode()
    assert page.split("\n\n")[0] == "draft    The cat\nrefined  "
    assert text.picture(stored, stored).size > (10, 10)


@pytest.mark.parametrize(
    ("prompt", "wrong"), [("zebra €", "'brz€'"), ("", "0 tokens"), ("the cat the cat", "15 tokens")]
)
def test_prompts_that_cannot_be_continued_are_refused(prompt: str, wrong: str) -> None:
    text, _ = words()
    with pytest.raises(DataError, match=wrong):
        text.prompt(prompt, 12)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_windows_begin_where_words_do_and_splits_do_not_touch(tmp_path: Path) -> None:
    numbers = " ".join(f"{n:04}" for n in range(1000))
    data = Text(
        str(write(tmp_path, a=numbers) / "a.txt"), (20, 13), Windows(stride=10), Characters(13), length=20
    )
    texts = {part: data.modality.texts(data.stored(part)) for part in data.splits}
    assert all(len(text) == 20 and text[4] == " " for part in texts.values() for text in part)
    assert [int(text[:4]) for text in texts["train"][:4]] == [0, 2, 4, 6]
    assert [int(text[:4]) for text in texts["validation"][:3]] == [900, 904, 908]
    assert max(texts["train"]) < min(texts["validation"]) and max(texts["validation"]) < min(texts["test"])


def test_equal_lines_are_in_the_same_split_and_are_filled_up_with_ends(tmp_path: Path) -> None:
    lines = [f"line {n % 50}" for n in range(500)]
    data = Text(str(write(tmp_path, a="\n\n".join(lines))), (16, 20), Lines(), Characters(20), length=16)
    texts = [set(data.modality.texts(data.stored(part))) for part in data.splits]
    assert texts[0] | texts[1] | texts[2] == set(lines)
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert sum(len(split.samples) for split in data.splits.values()) == 500
    assert (data.stored("train")[:, 8:] == END).all()


def test_documents_are_files_in_folders(tmp_path: Path) -> None:
    write(tmp_path, **{f"doc{n}": f"this is document {n}" for n in range(60)})
    (tmp_path / ".hidden.txt").write_text("not this")
    (tmp_path / "picture.png").write_bytes(b"\0")
    data = Text(str(tmp_path), (24, 40), Documents(), Characters(40), length=24)
    texts = [text for part in data.splits for text in data.modality.texts(data.stored(part))]
    assert sorted(texts) == sorted(f"this is document {n}" for n in range(60))


BAD: dict[str, tuple[bytes, str, str]] = {
    "latin": ("caf\u00e9".encode("latin-1") * 50, "DATA-TEXT", "not UTF-8 at byte 3"),
    "nul": (b"abc\0def" * 50, "DATA-TEXT", "NUL at byte 3"),
    "empty": (b" \n", "DATA-EMPTY", "empty"),
    "short": (b"just a few words", "DATA-SHORT", "too few for one sample of 64 tokens"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line_and_exit_code_three(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, tag, what = BAD[case]
    (tmp_path / "bad.txt").write_bytes(content)
    words = [
        "experiment=shakespeare",
        f"data.path={tmp_path}/bad.txt",
        "logger=none",
        f"runs={tmp_path}/runs",
    ]
    assert main(["train", *words]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error[{tag}]" in line and what in line and "bad.txt" in line
    assert not (tmp_path / "runs").exists()


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: No such file"):
        Text(str(tmp_path / "nowhere"), (8, 9), Lines(), Characters(9), length=8)


class Table(Sequence):
    """Latents are the scores of tokens themselves."""

    def __init__(self, length: int, vocabulary: int, scale: float = 1.0) -> None:
        super().__init__((length, vocabulary), length * vocabulary, scale, 4)

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(x.flatten(1), torch.zeros_like(x.flatten(1)))

    def logits(self, h: Tensor, x: Tensor) -> Tensor:
        return h.unflatten(1, self.shape)

    def decode(self, h: Tensor) -> Tensor:
        return self.logits(h, h).softmax(dim=-1)


def test_the_likelihood_is_categorical_and_ends_with_the_text() -> None:
    refiner, h = Table(5, 7), torch.randn(2, 35)
    tokens = torch.tensor([[3, 2, 0, 0, 0], [1, 2, 3, 4, 5]])
    x = functional.one_hot(tokens, 7).float()
    truth = -functional.cross_entropy(h.view(2, 5, 7).mT, tokens, reduction="none")
    expected = torch.stack([truth[0, :3].sum(), truth[1].sum()])
    torch.testing.assert_close(refiner.log_prob(x, h), expected)
    torch.testing.assert_close(Table(5, 7, 0.5).distortion(x, h), -expected / 0.25)
    assert refiner.count(x).tolist() == [3, 5]
    assert alive(x[..., END]).tolist() == [[1, 1, 1, 0, 0], [1] * 5]


def test_the_encoder_reads_what_is_shown_and_the_gradient_passes() -> None:
    x = torch.rand(2, 3, 4).softmax(-1).requires_grad_()
    hard = most_probable(x)
    assert torch.equal(hard, functional.one_hot(x.argmax(-1), 4).float())
    weights = torch.randn(2, 3, 4)
    (hard * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)


def test_corruption_replaces_tokens_by_others_of_the_batch() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(1, 5, (200, 30))
    x = functional.one_hot(tokens, 50).float()
    found = Table(30, 50).corrupt(x, 0.2).argmax(-1)
    assert (found != tokens).float().mean().item() == pytest.approx(0.2 * 0.75, abs=0.01)
    assert found.max() < 5, "tokens that the batch does not have do not appear"
    assert torch.equal(Table(30, 50).corrupt(x, 0.0), x)


def test_free_bits_cost_nothing_until_they_are_used_up() -> None:
    pair: Any = type("Pair", (), {"refiner": Table(5, 7)})
    batch: Any = type("Batch", (), {"clean": functional.one_hot(torch.randint(1, 7, (4, 5)), 7).float()})
    rate = Posterior(batch.clean.flatten(1), torch.zeros(4, 35)).kl().mean().item()
    for free, expected in ((0.0, rate), (rate - 1, rate), (rate + 1, rate + 1)):
        terms = Evidence(free_bits=free)(pair, batch, None)  # type: ignore[arg-type]
        assert terms["refiner/rate"].item() == pytest.approx(expected / 5)


def text_refiner(name: str, *more: str) -> Sequence:
    words = ["data=text", "data.path=x", "data.length=16", "tokenizer.size=11", "refiner.latent_dim=16"]
    return build(compose("train", [f"refiner={name}", *words, *more]).refiner)


def texts(n: int) -> Tensor:
    """Of 16 tokens, none of them the end."""
    return functional.one_hot(torch.randint(1, 11, (n, 16)), 11).float()


def test_the_controller_of_the_rate_counts_nats_of_a_whole_text() -> None:
    pair = Pair(MLP(3, 8, (16,)), text_refiner("gru"), Latents()).eval()
    x = texts(30)
    adapt = build(compose("train", ["adapt=pi_control", "adapt.target=5.0"]).adapt)
    system = nn.Module()
    system.model = pair
    adapt.attach(system)
    terms = Evidence()(pair, Batch(x, None), Draft(torch.empty(0, 3), torch.empty(0, 16)))
    adapt({f"evidence/{name}": term for name, term in terms.items()}, Draft(x[:0], x[:0]))
    assert 5 - adapt.status()["error"].item() == pytest.approx(
        pair.refiner.encode(x).kl().mean().item(), abs=1e-5
    )


def test_the_autoregressive_decoder_writes_what_its_likelihood_finds_most_probable() -> None:
    torch.manual_seed(0)
    refiner = text_refiner("autoregressive").eval()
    h = torch.randn(6, 16)
    written = refiner.decode(h)
    told, inside = refiner.logits(h, written).softmax(-1), alive(most_probable(written)[..., END])
    torch.testing.assert_close(told[inside], written[inside], rtol=1e-3, atol=1e-5)


def test_drawn_tokens_are_as_frequent_as_they_are_probable() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.3, 0.05, 0.55, 0.1, 0.0])
    tokens = drawn(weights.expand(20_000, 5), uniform(torch.randn(20_000))).sum(dim=0)
    assert stats.chisquare(tokens[:4], 20_000 * weights[:4]).pvalue > 1e-3
    extremes = drawn(weights.expand(2, 5), uniform(torch.tensor([-9.0, 9.0])))
    assert extremes.argmax(dim=1).tolist() == [0, 3], "noise in order of the tokens, none but possible ones"


def test_coupled_tokens_are_drawn_from_the_second_and_are_those_of_the_first_as_often_as_can_be() -> None:
    torch.manual_seed(0)
    n, p, q = 20_000, torch.tensor([0.4, 0.3, 0.2, 0.1, 0.0]), torch.tensor([0.1, 0.5, 0.0, 0.15, 0.25])
    first = drawn(p.expand(n, 5), torch.rand(n).double())
    second = coupled(first, p.expand(n, 5), q.expand(n, 5), torch.rand(n).double())
    found = second.sum(dim=0)
    assert found[2] == 0
    possible = q > 0
    assert stats.chisquare(found[possible], n * q[possible]).pvalue > 1e-3
    same = int((first * second).sum())
    assert stats.binomtest(same, n, torch.minimum(p, q).sum().item()).pvalue > 1e-3


def test_what_q_rules_out_is_never_drawn_not_even_where_p_is_q() -> None:
    token, certain = torch.eye(4)[[1]], torch.eye(4)[[2]]
    for chance in (0.0, 1e-9, 0.5, 1.0):
        drawn_again = coupled(token, certain, certain, torch.tensor([chance], dtype=torch.float64))
        assert drawn_again.argmax().item() == 2
    extremes = drawn(torch.tensor([[0.0, 0.5, 0.5, 0.0]]).expand(2, -1), torch.tensor([0.0, 1.0]).double())
    assert extremes.argmax(dim=1).tolist() == [1, 2]
    assert drawn(torch.full((1, 3), torch.nan), torch.tensor([0.5]).double()).isnan().all()


@pytest.mark.parametrize("name", ["autoregressive", "transformer", "gru"])
def test_what_is_after_the_end_of_a_draft_is_not_read(name: str) -> None:
    torch.manual_seed(0)
    refiner, x = text_refiner(name).eval(), texts(64)
    x[:, 9] = torch.eye(11)[END]
    other = torch.cat([x[:, :10], texts(64)[:, 10:]], dim=1)
    noise = torch.randn(64, refiner.noise_dim)
    torch.testing.assert_close(refiner.encode(other).mean, refiner.encode(x).mean)
    assert torch.equal(refiner.redraw(other, noise), refiner.redraw(x, noise))


def test_refining_depends_on_noise_alone_while_the_refiner_learns() -> None:
    torch.manual_seed(0)
    refiner = text_refiner("autoregressive", "refiner.word_dropout=0.5").train()
    x, noise = texts(64), torch.randn(64, refiner.noise_dim)
    assert torch.equal(refiner.redraw(x, noise), refiner.redraw(x, noise))


def test_the_improbable_is_cut_and_the_most_probable_never() -> None:
    p = torch.tensor([[0.6, 0.3, 0.1], [0.34, 0.33, 0.33]])
    torch.testing.assert_close(truncated(p, 0.2), torch.tensor([[2 / 3, 1 / 3, 0], [0.34, 0.33, 0.33]]))
    torch.testing.assert_close(truncated(p, 1.0), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]))
    torch.testing.assert_close(truncated(p, 0.0), p)


def test_refinements_are_draws_of_what_is_probable_that_keep_the_draft(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    n, h = 4_000, torch.randn(1, 16)
    refiner = text_refiner("autoregressive", "refiner.min_p=0.3").eval()
    refiner.leave.weight.data *= 3  # tokens that differ in probability
    refiner.leave.bias.data[END] += 1.4  # many end at once, and some of these go on when refined
    monkeypatch.setattr(refiner, "encode", lambda x: Posterior(h.expand(n, -1), torch.zeros(n, 16)))
    with torch.no_grad():
        noise = torch.randn(n, refiner.noise_dim)
        draft = refiner.draw(h.expand(n, -1), noise)
        refined = refiner.redraw(draft, noise)
        begun = torch.eye(11)[:, None].expand(-1, 16, -1)  # a text for each first token
        each = truncated(refiner.logits(h.expand(11, -1), begun).softmax(dim=-1), 0.3)
    pairs = torch.einsum("na,nb->ab", refined[:, 0], refined[:, 1]).flatten()
    expected = (n * each[0, 0, :, None] * each[:, 1]).flatten()
    often = expected > 5
    assert (
        stats.chisquare(pairs[often], expected[often] * pairs[often].sum() / expected[often].sum()).pvalue
        > 1e-3
    )
    same = [(draft * other).sum(dim=-1).mean() for other in (refined, refined.roll(1, dims=0))]
    assert same[0] > same[1] + 0.1


def test_drafts_are_drawn_and_refinements_come_nearer_to_what_is_most_probable() -> None:
    torch.manual_seed(0)
    noise, h = torch.randn(64, 32), torch.randn(64, 16)
    refiner = text_refiner("autoregressive", "refiner.min_p=0.5").eval()
    refiner.leave.weight.data *= 20  # tokens that differ in probability
    draft = refiner.draw(h, noise)
    assert torch.equal(draft, refiner.draw(h, noise))
    assert not torch.equal(draft, refiner.draw(h, -noise))
    refined = refiner.redraw(draft, noise)
    told = refiner.encode(draft).mean
    surprise = [(-refiner.log_prob(x, told) / refiner.count(x)).mean() for x in (draft, refined)]
    assert surprise[1] < surprise[0] - 0.1, "nats of a token"
    refiner.temperature = 1e-6
    assert torch.equal(refiner.draw(h, noise).argmax(-1), refiner.decode(h).argmax(-1))


def writing(*more: str) -> Pair:
    """A pair whose texts of 16 tokens depend on those before."""
    torch.manual_seed(0)
    refiner = text_refiner("autoregressive", *more)
    refiner.leave.weight.data *= 40  # one token stands out
    refiner.embedding.data *= 20
    return Pair(MLP(3, 8, (16,)), refiner, Latents()).eval()


def test_drafts_are_held_against_draws_of_what_the_refiner_infers() -> None:
    """N(mean, variance) of the posterior: the decoder has learnt to write from these, not from the means."""
    pair = writing()
    clean = functional.one_hot(torch.randint(11, (1, 16)), 11).float().expand(4000, -1, -1)
    mean, log_variance = pair.infer(clean)
    standard = (pair.embed(clean) - mean) / (0.5 * log_variance).exp()
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(16), atol=0.08, rtol=0)
    torch.testing.assert_close(standard.std(dim=0), torch.ones(16), atol=0.06, rtol=0)


def beginning(*numbers: int) -> Observation:
    """The first of 16 tokens are known."""
    known = (torch.arange(16) < len(numbers)).float()[None, :, None]
    shown = functional.one_hot(torch.tensor(numbers + (0,) * (16 - len(numbers))), 11).float()
    return Observation(shown * known, known, known)


def test_what_is_written_after_a_beginning_is_what_the_likelihood_expects_after_it() -> None:
    pair = writing("refiner.temperature=0.8", "refiner.min_p=0.2")
    noise = pair.noise(40, seed=1)
    for numbers in ((3, 5, 5), (9,)):
        observed = beginning(*numbers)
        draft = pair.draft(noise, observed)
        refined = pair.refine(draft, observed, noise)
        told, drawing = pair.split(noise)
        chance, again = uniform(drawing).chunk(2, dim=1)
        h, inferred = pair.code(told), pair.refiner.encode(draft).mean
        first = (pair.refiner.logits(h, draft) / 0.8).softmax(dim=-1)
        likely = (pair.refiner.logits(inferred, draft) / 0.8).softmax(dim=-1)
        probable = truncated((pair.refiner.logits(inferred, refined) / 0.8).softmax(dim=-1), 0.2)
        for x in (draft, refined):
            assert (x[:, : len(numbers)].argmax(dim=2) == torch.tensor(numbers)).all()
        for at in range(len(numbers), 16):
            assert torch.equal(draft[:, at], drawn(first[:, at], chance[:, at]))
            stays = coupled(draft[:, at], likely[:, at], probable[:, at], again[:, at])
            assert torch.equal(refined[:, at], stays)


def test_what_follows_depends_on_the_beginning() -> None:
    pair = writing()
    noise = pair.noise(40, seed=1)
    follows = [pair.draft(noise, observed)[:, 3:] for observed in (beginning(3, 5, 5), beginning(9, 2, 1))]
    laid_over = pair.draft(noise)[:, 3:]
    assert not torch.equal(*follows) and not torch.equal(follows[0], laid_over)
    torch.testing.assert_close(pair.draft(noise, beginning()), pair.draft(noise))


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_over_texts_that_are_written_at_once_a_beginning_is_laid(name: str) -> None:
    pair = Pair(MLP(3, 8, (16,)), text_refiner(name), Latents()).eval()
    noise, observed = pair.noise(4, seed=1), beginning(3, 5, 5)
    draft = pair.draft(noise, observed)
    torch.testing.assert_close(draft[:, 3:], pair.draft(noise)[:, 3:])
    for x in (draft, pair.refine(draft, observed, noise)):
        assert (x[:, :3].argmax(dim=2) == torch.tensor([3, 5, 5])).all()


def test_the_temperature_is_multiplied_and_cold_text_is_more_probable() -> None:
    pair = writing("refiner.temperature=0.8")
    pair.refiner.leave.weight.data /= 20
    noise = pair.noise(64, seed=1)
    h = pair.code(pair.split(noise)[0])

    def surprise() -> float:
        draft = pair.draft(noise)
        return (-pair.refiner.log_prob(draft, h).sum() / pair.refiner.count(draft).sum()).item()

    before = surprise()
    pair.refiner.temper(0.5)
    assert pair.refiner.temperature == pytest.approx(0.4)
    assert surprise() < before - 0.1, "nats of a token"


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_without_a_temperature_there_is_nothing_to_multiply(name: str) -> None:
    with pytest.raises(ConfigError, match="temperature: the refiner of the run"):
        text_refiner(name).temper(0.5)


@pytest.mark.parametrize(("letters", "tokens_per_character"), [(8, 16 / 8), (4, 9 / 4)])
def test_evidence_is_per_character_too(letters: int, tokens_per_character: float, tmp_path: Path) -> None:
    rng = numpy.random.default_rng(0)
    lines = ["".join(rng.choice([*"äöüéè"], letters)) for _ in range(200)]  # of two bytes
    path = write(tmp_path, a="\n".join(lines)) / "a.txt"
    data = Text(str(path), (16, 258), Lines(), Bytes(), length=16)
    pair = Pair(MLP(3, 8, (16,)), text_refiner("gru", "tokenizer=bytes", "tokenizer.size=258"), Latents())
    found = Evaluator(data, NGrams((16, 258)), {}, None, seed=0).log_likelihood(pair, "test")
    for name in ("elbo", "iwae"):
        assert found[f"{name}_per_character"] == pytest.approx(found[name] * tokens_per_character)


def test_characters_are_counted_whatever_the_tokens_are() -> None:
    for name in ("characters", "bytes"):
        tokenizer = learnt(name)
        rows = [torch.from_numpy(tokenizer.encode(line)) for line in ("naïve hat", "", VERSE)]
        stored = torch.stack([functional.pad(row, (0, 200 - len(row))) for row in rows])
        assert modality.Text(tokenizer).units(stored)["character"].tolist() == [9, 0, len(VERSE)]


def test_samples_of_a_run_go_on_from_the_prompt() -> None:
    pair, tokenizer = writing(), Characters(11)
    tokenizer.learn(["abcdefghi"])
    text = modality.Text(tokenizer)
    observed = text.prompt("abba", 16)
    found = draw(pair, text, 12, seed=4, batch_size=5, known=observed)
    noise = pair.noise(12, seed=4)
    draft = pair.draft(noise, observed)
    assert torch.equal(found.draft, text.to_stored(draft))
    assert torch.equal(found.refined, text.to_stored(pair.refine(draft, observed, noise)))
    assert all(line.startswith("abba") for line in text.texts(found.refined))


def test_the_autoregressive_decoder_does_not_see_what_it_is_to_write() -> None:
    refiner = text_refiner("autoregressive").eval()
    x = functional.one_hot(torch.randint(1, 11, (3, 16)), 11).float()
    other = x.clone()
    other[:, 7:] = x.flip(0)[:, 7:]
    h = torch.randn(3, 16)
    torch.testing.assert_close(refiner.logits(h, x)[:, :8], refiner.logits(h, other)[:, :8])


@pytest.mark.parametrize("name", ["autoregressive", "transformer", "gru"])
def test_refiners_of_text_pass_gradients_and_refuse_patches_that_do_not_fit(name: str) -> None:
    refiner = text_refiner(name)
    x = torch.rand(2, 16, 11).softmax(-1).requires_grad_()
    refiner(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="refiner"):
        text_refiner(name, "refiner.patch=5")
    with pytest.raises(ConfigError, match="data=text"):
        build(compose("train", [f"refiner={name}"]).refiner)


def test_gumbel_numbers_choose_tokens_as_often_as_they_are_probable() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    drawn = (probabilities.log() + gumbel(torch.randn(100_000, 3))).argmax(-1)
    torch.testing.assert_close(drawn.bincount() / 1e5, probabilities, atol=0.01, rtol=0)


def test_a_recurrent_generator_goes_on_from_what_it_has_drawn() -> None:
    torch.manual_seed(0)
    generator, place = Recurrent(3, (7, 5), width=8), 3
    generator.embedding.data *= 20
    told, deciding = generator.split(torch.randn(50, generator.noise_dim))
    other = deciding.clone()
    other[:, place] = torch.randn(50, 5)
    ways = [generator(torch.cat([told, it.flatten(1)], dim=1)).argmax(-1) for it in (deciding, other)]
    same = ways[0] == ways[1]
    assert same[:, :place].all(), "what is before does not know"
    drawn_alike = same[:, place]
    assert same[drawn_alike, place:].all(), "what was drawn is all that counts of it"
    assert len(same[~drawn_alike]) > 0 and not same[~drawn_alike, place + 1 :].all()


def test_a_token_learns_from_what_follows() -> None:
    torch.manual_seed(0)
    generator = Recurrent(3, (7, 5), width=8)
    noise = torch.randn(4, generator.noise_dim, requires_grad=True)
    (generator(noise)[:, -1] * torch.randn(5)).sum().backward()
    assert noise.grad is not None
    assert (generator.split(noise.grad)[1].abs().sum(dim=(0, 2)) > 0).all()


SMALL = [
    "trainer.max_steps=6",
    "evaluate_every=3",
    "sample_every=3",
    "save_every=3",
    "logger=none",
    "batch_size=8",
]
TINY = ["data.length=16", "tokenizer.size=40", "health=none", "refiner.hidden_dim=16", "refiner.latent_dim=4"]


def test_lines_from_training_to_a_file_of_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = (
        write(tmp_path, corpus="\n".join(f"the {a} saw a {b}" for a in "abcdefghi" for b in "klmnopqrst"))
        / "corpus.txt"
    )
    words = [
        "experiment=lines",
        f"data.path={corpus}",
        *SMALL,
        *TINY,
        f"runs={tmp_path}/runs",
        "metric=[frechet]",
    ]
    assert main(["train", *words, "extractor.feature_dim=4", "generator.components=1"]) == 0
    (run,) = (tmp_path / "runs").glob("*/*")
    shown = capsys.readouterr().out
    assert "bounds on log p(x) in nats per token: elbo" in shown and "iwae_per_character" in shown
    assert "js3" in shown and "ngram_ppl" in shown and "self_bleu" in shown
    page = (run / "samples" / "step-00000006.txt").read_text()
    assert page.count("draft    ") == page.count("refined  ") == 20
    corpus.unlink()  # the vocabulary is in the run folder
    out = tmp_path / "samples.txt"
    assert main(["sample", f"run={run}", "n=7", f"out={out}", "device=cpu"]) == 0
    assert len(out.read_text().splitlines()) == 7
    out.unlink()
    prompt = ["prompt='the '", "n=5", f"out={out}", "device=cpu"]
    assert main(["sample", f"run={run}", *prompt]) == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 5 and all(line.startswith("the ") for line in lines)
    cold = out.with_name("cold.txt")
    assert main(["sample", f"run={run}", *prompt[:2], "temperature=0.01", f"out={cold}", "device=cpu"]) == 0
    letters = [set("".join(line[4:] for line in page.read_text().splitlines())) for page in (cold, out)]
    assert 0 < 2 * len(letters[0]) < len(letters[1]), "the cold write the most probable ones only"
    assert main(["sample", f"run={run}", "prompt='X!'", f"out={tmp_path}/none.txt", "device=cpu"]) == 3
    assert "'!X' not among the characters" in capsys.readouterr().err
    assert main(["sample", f"run={run}", "n=7", f"out={tmp_path}/texts", "device=cpu"]) == 0
    assert len(list((tmp_path / "texts" / "samples").glob("*.txt"))) == 7
    (run / "modality.json").write_text('{"_target_": "os.system"}')
    assert main(["sample", f"run={run}", f"out={out}", "device=cpu"]) == 9


def test_samples_of_a_class_are_texts_of_its_folder(tmp_path: Path) -> None:
    rng = numpy.random.default_rng(0)
    for name, letters in (("spring", "abcde"), ("autumn", "vwxyz")):  # autumn is class 0
        (tmp_path / "corpus" / name / "deep").mkdir(parents=True)
        poems = "\n".join("".join(rng.choice([*letters], 8)) for _ in range(300))
        (tmp_path / "corpus" / name / "deep" / "poems.txt").write_text(poems)
    words = ["data=text", "cut=lines", "refiner=gru", "generator=latent_by_class", "data.classes=2"]
    words += [f"data.path={tmp_path}/corpus", "data.length=8", "tokenizer.size=16", "refiner.latent_dim=8"]
    words += ["refiner.hidden_dim=32", "trainer.max_steps=200", "schedule.warmup=10", "batch_size=32"]
    words += ["optimizer.refiner=0.02", "extractor.feature_dim=4", "metric=[frechet]", "measure=none"]
    assert main(["train", *words, "health=none", "logger=none", f"runs={tmp_path}/runs"]) == 0
    (run,) = (tmp_path / "runs").glob("*/*")
    for label, letters in enumerate(("vwxyz", "abcde")):
        out = tmp_path / f"{label}.txt"
        assert main(["sample", f"run={run}", f"label={label}", "n=40", f"out={out}", "device=cpu"]) == 0
        drawn = out.read_text().replace("\n", "")
        assert sum(letter in letters for letter in drawn) > 0.9 * len(drawn)


WAYS = [
    *(("sequence", "non_saturating"), ("recurrent", "non_saturating")),
    *(("embedding", "non_saturating"), ("embedding", "sinkhorn")),
]


@pytest.mark.parametrize(("name", "objective"), WAYS)
def test_texts_are_drafted_without_latents(name: str, objective: str, tmp_path: Path) -> None:
    corpus = write(tmp_path, corpus=STORY) / "corpus.txt"
    words = ["experiment=shakespeare", f"data.path={corpus}", *SMALL, *TINY, f"runs={tmp_path}/runs"]
    words += [f"generator={name}", f"objective={objective}", "generator.width=16", "critic.width=8"]
    words += [
        "extractor.feature_dim=4",
        "metric=[precision_recall]",
        "data.name=story",
        "schedule.head_start=0",
    ]
    assert main(["train", *words]) == 0


def test_a_size_without_room_for_merges_is_refused() -> None:
    pytest.importorskip("tokenizers", reason="the extra `text` is not installed")
    from stable_diffusion_lab.modality.tokenizer.bpe import BPE

    with pytest.raises(ConfigError, match="wants more than"):
        BPE(100)
