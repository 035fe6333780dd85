"""Extractors: fixed, seeded, cached, and useful."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.data.digits import Digits
from stable_diffusion_lab.data.mnist import MNIST
from stable_diffusion_lab.error import DataError, DiskError
from stable_diffusion_lab.extractor import supervised
from stable_diffusion_lab.extractor.base import Extractor
from stable_diffusion_lab.extractor.classifier import Classifier
from stable_diffusion_lab.extractor.ngrams import NGrams
from stable_diffusion_lab.extractor.random_convolution import RandomConvolution
from stable_diffusion_lab.modality.text import Text
from stable_diffusion_lab.modality.tokenizer.characters import Characters


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "sdlab"


def quick(data: Data, cache: Path, steps: int = 20, seed: int = 0) -> Classifier:
    extractor = Classifier(data.shape, steps=steps, seed=seed)
    extractor.prepare(data, cache)
    return extractor


def probe(extractor: Extractor, data: Data) -> float:
    """Accuracy on the test split of logistic regression on the features of the training split."""
    assert data.train.labels is not None
    assert data.test.labels is not None
    train, test = extractor.extract(data.train.samples), extractor.extract(data.test.samples)
    weights = torch.zeros(train.shape[1], 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (
            functional.cross_entropy(train @ weights + bias, data.train.labels)
            + 1e-4 * weights.square().sum()
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    return ((test @ weights + bias).argmax(dim=1) == data.test.labels).double().mean().item()


def test_classifier_features_tell_digits_apart(digits: Digits, cache: Path) -> None:
    assert probe(quick(digits, cache, steps=400), digits) > 0.95


def test_random_features_tell_digits_apart_too(digits: Digits, cache: Path) -> None:
    extractor = RandomConvolution(digits.shape)
    extractor.prepare(digits, cache)
    assert probe(extractor, digits) > 0.85


@pytest.mark.skipif("SDLAB_DATA" not in os.environ, reason="SDLAB_DATA is not set: no MNIST here")
def test_classifier_features_tell_mnist_apart(cache: Path) -> None:
    data = MNIST(f"{os.environ['SDLAB_DATA']}/mnist")
    extractor = quick(data, cache, steps=300)
    sample = (
        data.train.samples[:10_000],
        data.train.labels[:10_000] if data.train.labels is not None else None,
    )
    assert probe(extractor, Data("part", data.shape, Split(*sample), data.validation, data.test)) > 0.96


def test_classifier_is_trained_once_and_loaded_afterwards(digits: Digits, cache: Path) -> None:
    first = quick(digits, cache)
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    second = quick(digits, cache)
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert torch.equal(first.extract(digits.test.samples), second.extract(digits.test.samples))


def test_classifier_is_the_same_wherever_it_is_trained(digits: Digits, cache: Path, tmp_path: Path) -> None:
    torch.manual_seed(77)
    here, there = quick(digits, cache), quick(digits, tmp_path)
    assert torch.equal(here.extract(digits.test.samples), there.extract(digits.test.samples))


@pytest.mark.parametrize("change", ["seed", "steps", "data"])
def test_a_cached_classifier_serves_its_own_settings_and_data_only(
    digits: Digits, tmp_path: Path, change: str
) -> None:
    quick(digits, tmp_path, steps=3)
    other = Data("digits", digits.shape, digits.validation, digits.train, digits.test)
    quick(
        other if change == "data" else digits, tmp_path, 4 if change == "steps" else 3, int(change == "seed")
    )
    assert len(list(tmp_path.glob("classifier-*"))) == 2


@pytest.mark.parametrize(
    "part",
    [
        *("extractor/supervised", "extractor/base", "extractor/classifier", "extractor/spectrogram"),
        *("layer/spectrum", "seeding", "modality/base", "modality/image", "modality/audio"),
    ],
)
def test_a_cached_classifier_is_of_the_source_as_it_is(
    digits: Digits, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(digits, tmp_path, steps=1)
    read = Path.read_bytes
    changed = f"stable_diffusion_lab/{part}.py"
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * path.match(changed))
    quick(digits, tmp_path, steps=1)
    assert len(list(tmp_path.glob("classifier-*"))) == 2


@pytest.mark.parametrize("damage", [b"", b"<html>", b"PK\x03\x04"])
def test_a_damaged_cache_is_made_anew(digits: Digits, tmp_path: Path, damage: bytes) -> None:
    expected = quick(digits, tmp_path, steps=3).extract(digits.test.samples)
    (path,) = tmp_path.glob("classifier-*/*")
    path.write_bytes(damage)
    assert torch.equal(quick(digits, tmp_path, steps=3).extract(digits.test.samples), expected)
    assert path.stat().st_size > 1000
    assert [path.parent] == list(tmp_path.glob("classifier-*"))


def test_judges_that_start_at_once_train_one_classifier(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges = [Classifier(digits.shape, seed=seed) for seed in (0, 0)]
    trained = []

    def train(judge: Classifier, samples: Tensor, labels: Tensor) -> None:
        trained.append(judge)
        time.sleep(0.3)
        torch.nn.init.constant_(judge.body[-1].weight, 0.5)

    monkeypatch.setattr(Classifier, "_train", train)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda judge: judge.prepare(digits, tmp_path), judges))
    assert len(trained) == 1
    assert torch.equal(*(judge.extract(digits.test.samples) for judge in judges))


def test_a_full_disk_is_named(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "_WEIGHTS", "/dev/full")
    with pytest.raises(DiskError, match="No space left on device; set SDLAB_CACHE"):
        quick(digits, tmp_path, steps=1)


def test_a_cache_that_cannot_be_written_is_named(digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="set SDLAB_CACHE"):
        quick(digits, tmp_path / "file" / "cache", steps=1)


def test_without_labels_there_is_another_extractor(digits: Digits, cache: Path) -> None:
    splits = [split._replace(labels=None) for split in digits.splits.values()]
    data = Data("plain", digits.shape, *splits)
    with pytest.raises(DataError, match="extractor=random_convolution") as caught:
        quick(data, cache)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("kind", [Classifier, RandomConvolution])
def test_building_and_preparing_leave_the_global_random_state_alone(
    digits: Digits, tmp_path: Path, kind: type[Classifier] | type[RandomConvolution]
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    extractor = Classifier(digits.shape, steps=2) if kind is Classifier else kind(digits.shape)
    extractor.prepare(digits, tmp_path)
    extractor.extract(digits.test.samples)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 48, 20), (3, 128, 128)])
@pytest.mark.parametrize("kind", [Classifier, RandomConvolution])
def test_features_of_any_shape_carry_no_gradient(
    shape: tuple[int, ...], kind: type[Classifier] | type[RandomConvolution]
) -> None:
    extractor = kind(shape, feature_dim=17)
    images = torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    features = extractor.extract(images, batch_size=2)
    assert features.shape == (5, 17)
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert torch.allclose(features, extractor.extract(images), atol=1e-5)


def test_random_convolution_is_a_function_of_its_seed() -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    features = [RandomConvolution((3, 16, 16), seed=seed).extract(images) for seed in (0, 0, 1)]
    assert torch.equal(features[0], features[1])
    assert not torch.allclose(features[0], features[2])


@pytest.mark.parametrize("kind", [Classifier, RandomConvolution])
def test_the_mean_variance_of_a_training_feature_is_the_unit(
    digits: Digits, tmp_path: Path, kind: type[Classifier] | type[RandomConvolution]
) -> None:
    extractor = Classifier(digits.shape, steps=5) if kind is Classifier else kind(digits.shape)
    extractor.prepare(digits, tmp_path)
    extractor.prepare(digits, tmp_path)
    assert extractor.extract(digits.train.samples).var(dim=0).mean().item() == pytest.approx(1, abs=1e-4)


def ngram_features(*lines: str, longest: int = 4, length: int = 12) -> Tensor:
    """Features ``[N, longest, 3]`` of texts, those that see one token at a time first."""
    tokenizer = Characters(7)
    tokenizer.learn(["abcde"])
    extractor = NGrams((length, 7), feature_dim=3 * longest, longest=longest)
    extractor.modality = Text(tokenizer)
    stored = torch.zeros(len(lines), length, dtype=torch.int64)
    for row, line in zip(stored, lines, strict=True):
        row[: len(line)] = torch.from_numpy(tokenizer.encode(line))
    return extractor.extract(stored).unflatten(1, (longest, 3))


def test_what_sees_one_token_at_a_time_is_a_mean_over_tokens() -> None:
    text, a, b, c = ngram_features("abacab", "a", "b", "c")[:, 0]
    torch.testing.assert_close(text, (3 * a + 2 * b + c) / 6)
    assert not torch.allclose(a, b)


PAIRS = ["ab", "bc", "ca", "a", "b", "c"]


def test_features_that_see_several_tokens_count_ngrams() -> None:
    pairs = dict(zip(PAIRS, ngram_features(*PAIRS, longest=2)[:, 1], strict=True))
    (found,) = ngram_features("abcabc", longest=2)[:, 1]
    # A text of two tokens has their pair, and that of the second and the end, which is all a text of one has.
    alone = {text: 2 * pairs[text] - pairs[text[1]] for text in ("ab", "bc", "ca")}
    torch.testing.assert_close(found, (2 * alone["ab"] + 2 * alone["bc"] + alone["ca"] + pairs["c"]) / 6)


def test_equal_texts_have_equal_features_and_the_order_of_tokens_matters_to_what_sees_several() -> None:
    first, same, other = ngram_features("abcde", "abcde", "edcba")
    assert torch.equal(first, same)
    torch.testing.assert_close(first[0], other[0])
    assert all(not torch.allclose(first[size], other[size]) for size in (1, 2, 3))


def test_what_is_after_the_end_of_a_text_does_not_count() -> None:
    torch.testing.assert_close(*(ngram_features("abc", "", length=length) for length in (8, 30)))
    assert (ngram_features("") == 0).all()
