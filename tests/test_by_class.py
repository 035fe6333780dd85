"""Generators that draw a class, and comparison of like with like."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import parts
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import one_hot

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.command.load import load
from stable_diffusion_lab.data.density.gaussian import Gaussian
from stable_diffusion_lab.data.density.ring import Ring
from stable_diffusion_lab.data.toy import Toy
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.generator.by_class import ByClass
from stable_diffusion_lab.generator.conditional import Conditional
from stable_diffusion_lab.generator.latent_by_class import LatentByClass
from stable_diffusion_lab.generator.mlp import MLP
from stable_diffusion_lab.generator.recurrent import Recurrent
from stable_diffusion_lab.generator.sequence import Sequence
from stable_diffusion_lab.layer.label import append, separate
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.critic.wavegan import WaveGAN
from stable_diffusion_lab.objective.energy import Energy
from stable_diffusion_lab.objective.feature import by_class
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.imle import IMLE
from stable_diffusion_lab.objective.mmd import squared_mmd

COMPARING = [name for name in parts.objectives() if name not in ("none", "reverse_kl")]
SHAPES = [(5,), (3, 4), parts.IMAGE, (3, 9, 8)]
SHARES = [0.5, 0.05, 0.15, 0.3]


def labels(n: int = 2000) -> Tensor:
    """Labels of a data set in which classes have the shares above."""
    return torch.cat([torch.full((round(n * share),), k) for k, share in enumerate(SHARES)])


def codes_of(label: Tensor) -> Tensor:
    """Codes ``[N, 3]`` of which each class has a place of its own."""
    rng = torch.Generator().manual_seed(0)
    return 10.0 * one_hot(label, 4)[:, :3] + torch.randn(len(label), 3, generator=rng)


def generators() -> list[Conditional]:
    """One of each kind, that has seen the data."""
    torch.manual_seed(0)
    told = ByClass(partial(MLP, hidden_dim=8), 3, (3,), 4)
    latent = LatentByClass(3, (3,), 4, components=2, hidden_dim=8, blocks=1)
    for generator in (told, latent):
        generator.initialise([codes_of(labels())], labels())
    return [told, latent]


def drawn(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("generator", generators())
def test_classes_are_drawn_as_often_as_the_data_has_them(generator: Conditional) -> None:
    counts = generator.label(drawn(50_000)).bincount()
    assert stats.chisquare(counts, 50_000 * numpy.array(SHARES)).pvalue > 0.01


@pytest.mark.parametrize("generator", generators())
def test_noise_that_is_aimed_is_that_of_the_class_that_was_asked(generator: Conditional) -> None:
    noise = drawn(20_000)
    natural = generator.label(noise)
    for k in range(4):
        aimed = generator.aim(noise, torch.full((len(noise),), k))
        assert (generator.label(aimed) == k).all()
        assert torch.equal(aimed[:, 1:], noise[:, 1:])
        assert stats.ks_2samp(aimed[:, 0], noise[natural == k, 0]).pvalue > 0.01
        within = generator.split(aimed)[1]
        torch.testing.assert_close(within, noise, atol=1e-3, rtol=1e-3)
        assert stats.kstest(within[:, 0], "norm").pvalue > 0.01
    everywhere = generator.aim(noise, generator.label(drawn(20_000, seed=2)))
    assert stats.kstest(everywhere[:, 0], "norm").pvalue > 0.01


@pytest.mark.parametrize("generator", generators())
@pytest.mark.parametrize("extreme", [-40.0, -5.5, 5.5, 40.0])
def test_no_noise_is_so_extreme_that_it_misses_its_class(generator: Conditional, extreme: float) -> None:
    for k in range(4):
        aimed = generator.aim(torch.full((1, 3), extreme), torch.tensor([k]))
        assert generator.label(aimed).item() == k and aimed.isfinite().all()


def test_the_latent_start_draws_each_class_from_its_own_codes() -> None:
    _, generator = generators()
    noise = drawn(20_000)
    drafts, label = generator(noise), generator.label(noise)
    assert torch.equal(generator.start.pick(noise[:, 0])[0] // 2, label), "components belong to classes"
    known = codes_of(labels())
    for k in range(4):
        real = known[labels() == k]
        torch.testing.assert_close(drafts[label == k].mean(0), real.mean(0), atol=0.15, rtol=0)
        torch.testing.assert_close(drafts[label == k].std(0), real.std(0), atol=0.15, rtol=0)


@pytest.mark.parametrize("generator", generators())
def test_the_network_sees_the_class(generator: Conditional) -> None:
    """Where two classes have the same share and the same start, only the label tells them apart."""
    torch.manual_seed(0)
    if isinstance(generator, LatentByClass):
        torch.manual_seed(0)
        generator.start.means.zero_()
        nn.init.normal_(generator.bend.network.leave.weight)
    ways = [generator(generator.aim(drawn(5), torch.full((5,), k))) for k in range(4)]
    assert all(not torch.allclose(ways[0], other, atol=0.05) for other in ways[1:])


@pytest.mark.parametrize("inner", [partial(Sequence, heads=2), Recurrent])
def test_generators_of_tokens_are_told_a_class_too(inner: Callable[..., Generator]) -> None:
    torch.manual_seed(0)
    generator = ByClass(partial(inner, width=8), 3, (6, 5), 4)
    noise = torch.randn(9, generator.noise_dim)
    ways = [generator(generator.aim(noise, torch.full((9,), k))) for k in range(4)]
    assert all(way.shape == (9, 6, 5) and (way.sum(dim=2) == 1).all() for way in ways)
    assert len({tuple(way.argmax(2).flatten().tolist()) for way in ways}) == 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_the_class_alone_keeps_points_weight_typical_distances_apart(
    shape: tuple[int, ...], weight: float
) -> None:
    pair = parts.pair_in_pixels(shape)
    batch, draft = parts.situation(pair, real=40, dtype=torch.float64)
    (bare, *_), (found, *_) = (
        f(pair, batch, draft) for f in (Identity(), by_class.ByClass(Identity(), parts.CLASSES, weight))
    )
    samples, planes = separate(found.real, parts.CLASSES)
    assert torch.equal(samples, bare.real)
    assert torch.equal(planes.argmax(1), batch.label)
    nowhere = append(torch.zeros_like(samples), planes).flatten(1)
    apart = torch.cdist(nowhere[:1], nowhere[1:2]).item()
    flat = bare.real.flatten(1)
    assert apart == pytest.approx(weight * torch.cdist(flat, flat).square().mean().sqrt().item())
    assert torch.equal(
        separate(found.generated, parts.CLASSES)[1].argmax(1), pair.generator.label(draft.noise)
    )


@pytest.mark.parametrize("shape", [(1, 64), (2, 100)])
def test_to_a_critic_of_waveforms_classes_are_channels_as_loud_as_they_are_far_apart(
    shape: tuple[int, int],
) -> None:
    pair = parts.pair_in_pixels(shape)
    batch, draft = parts.situation(pair, real=40)
    found, *_ = by_class.ByClass(Identity(), parts.CLASSES, weight=2.0)(pair, batch, draft)
    critic = WaveGAN(shape, width=4, conditions=parts.CLASSES)
    seen: list[Tensor] = []
    critic.net.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    critic(found.real)
    waves, planes = seen[0].split([shape[0], parts.CLASSES], dim=1)
    assert torch.equal(waves, batch.clean)
    assert torch.equal(planes.argmax(dim=1), batch.label[:, None].expand(-1, shape[1]))
    flat = batch.clean.flatten(1)
    typical = torch.cdist(flat, flat).square().mean().sqrt().item()
    assert torch.dist(planes[0], planes[1]).item() == pytest.approx(2 * typical, rel=1e-4)


def test_a_large_weight_compares_within_classes_alone() -> None:
    """Kernels that vanish between classes leave the sum of the classes' own discrepancies."""
    pair = parts.pair_in_pixels((5,))
    batch, draft = parts.situation(pair, real=40, generated=40, dtype=torch.float64)
    joint = by_class.ByClass(Identity(), parts.CLASSES, weight=1e4)(pair, batch, draft)[0]
    own = pair.generator.label(draft.noise)

    def similarity(r: Tensor) -> Tensor:
        return (-r.square() / 2).exp()

    def mean(x: Tensor, y: Tensor) -> Tensor:
        return similarity(torch.cdist(x, y)).sum()

    expected = torch.zeros((), dtype=torch.float64)
    for k in range(parts.CLASSES):
        x, y = draft.code[own == k], batch.clean[batch.label == k]
        expected += (mean(x, x) - len(x)) / (40 * 39) + (mean(y, y) - len(y)) / (40 * 39)
        expected -= 2 * mean(x, y) / (40 * 40)
    found = squared_mmd(joint.generated, joint.real, similarity)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


class Places(Conditional):
    """Each class is a Gaussian at a place that learns."""

    def __init__(self, means: Tensor) -> None:
        super().__init__(2, (2,), len(means))
        self.places = nn.Parameter(means)

    def forward(self, noise: Tensor) -> Tensor:
        label, within = self.split(noise)
        return self.places[label] + 0.04 * within


def descend(pair: Pair, feature: Feature, data: Toy, steps: int) -> None:
    objective = Energy(feature)
    learn = torch.optim.Adam(pair.generator.parameters(), lr=0.03)
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(data.train.samples), (256,), generator=rng)
        noise = torch.randn(256, 2, generator=rng)
        batch = Batch(data.train.samples[chosen], data.train.labels[chosen])
        learn.zero_grad()
        objective(pair, batch, Draft(noise, pair.generator(noise)))["generator"].backward()
        learn.step()


def test_exchanged_classes_are_seen_and_mended_only_where_like_is_compared_with_like() -> None:
    density = Ring()
    data = Toy(density, (2,), train=4000, classes=8)
    means = density.means.float()
    pair = Pair(Places(means.roll(1, 0).clone()), parts.LinearRefiner((2,), 2), Pixels(["draft"]))
    joint = by_class.ByClass(Identity(), 8)
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(3))
    batch = Batch(data.train.samples, data.train.labels)
    distances = [Energy(f)(pair, batch, Draft(noise, pair.generator(noise))) for f in (Identity(), joint)]
    apart, by_classes = (found["generator"].item() for found in distances)
    assert abs(apart) < 0.003 and by_classes > 0.05
    descend(pair, Identity(), data, 300)
    away = (pair.generator.places - means).norm(dim=1)
    assert away.min() > 0.3, "in law nothing is wrong"
    descend(pair, joint, data, 300)
    away = (pair.generator.places - means).norm(dim=1)
    assert away.max() < 0.05


@pytest.mark.parametrize("name", COMPARING)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_comparing_objective_sees_the_classes(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pair = parts.pair_in_pixels(shape)
    kind = "convolutional" if len(shape) == 3 else "mlp"
    batch, draft = parts.situation(pair, real=16, generated=16)

    def terms(label: Tensor) -> dict[str, Tensor]:
        torch.manual_seed(1)
        (objective,) = parts.build("objective", name, pair, "feature=by_class", f"denoiser={kind}").values()
        return objective(pair, Batch(batch.clean, label), draft)

    one, other = terms(batch.label), terms(1 - batch.label)
    assert all(term.isfinite() for term in one.values())
    slopes = torch.autograd.grad(one["generator"], list(pair.generator.parameters()))
    assert all(slope.isfinite().all() for slope in slopes) and sum(slope.abs().sum() for slope in slopes) > 0
    assert any(not torch.equal(one[player], other[player]) for player in one)


def test_real_points_pull_drafts_of_their_own_class() -> None:
    """Also where one of another class is nearer."""
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    pair = Pair(Places(means), parts.LinearRefiner((2,), 2), Pixels(["draft"]))
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(means[[1, 0]].clone(), torch.tensor([0, 1]))
    # d/dx of the mean over both points and all D coordinates of (x - y)^2, where |x - y| = 2.
    for feature, pull in ((Identity(), 0), (by_class.ByClass(Identity(), 2, weight=3.0), 2 * 2 / (2 * 4))):
        objective = IMLE(feature, pool=1, tolerance=0.0)
        draft = Draft(noise, pair.generator(noise))
        (slope,) = torch.autograd.grad(objective(pair, batch, draft)["generator"], pair.generator.places)
        torch.testing.assert_close(slope.norm(dim=1), torch.full((2,), float(pull)), atol=0.1, rtol=0)


def test_classes_that_are_not_known_are_one_line() -> None:
    unlabelled = Batch(torch.rand(9, *parts.IMAGE), None)
    pair = parts.pair_in_pixels()
    joint = by_class.ByClass(Identity(), 2)
    with pytest.raises(DataError, match="no labels to compare by; say feature=identity"):
        joint(pair, unlabelled, parts.situation(pair)[1])
    with pytest.raises(DataError, match="toy has no labels to compare by"):
        joint.prepare(Toy(Gaussian(), (2,), train=20, validation=20, test=20), Path())
    plain = Pair(MLP(6, 8, parts.IMAGE), parts.LinearRefiner(parts.IMAGE, 6), Pixels())
    with pytest.raises(ConfigError, match="knows no classes to compare by"):
        joint(plain, *parts.situation(plain))
    with pytest.raises(ConfigError, match="knows no classes; train with generator=latent_by_class"):
        plain.generate(3, label=1)
    with pytest.raises(ConfigError, match=r"feature\.bank=5"):
        by_class.ByClass(Identity(5), 2)


WRONG = {
    "none": (None, "has no labels"),
    "too high": (torch.tensor([0, 1, 2, 3, 4]), "0 to 4, 5 different ones; wants every class from 0 to 3"),
    "negative": (torch.tensor([-1, 0, 1, 2, 3]), "-1 to 3, 5 different ones"),
    "one missing": (torch.tensor([0, 1, 3]), "0 to 3, 3 different ones"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("generator", generators())
def test_labels_that_do_not_do_are_refused(generator: Conditional, case: str) -> None:
    label, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        generator.check(5, label)


def test_a_class_of_fewer_samples_than_components_is_refused() -> None:
    generator = LatentByClass(3, (3,), 4, components=3)
    with pytest.raises(DataError, match=r"class 2 has 2 samples, fewer than generator\.components=3"):
        generator.check(11, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3]))


SMALL = ["data.train=1000", "data.validation=500", "data.test=500", "metric=[frechet]"]
MISTAKES = {
    "data without classes": (
        ["data=toy", "density=gaussian", "generator=latent_by_class"],
        2,
        "data.classes",
    ),
    "data without labels": (
        ["data=toy", "density=gaussian", "generator=latent_by_class", "data.classes=8", *SMALL],
        *(3, "no labels"),
    ),
    "too few classes": (["generator=latent_by_class", "data.classes=9"], 3, "wants 0 to 8"),
    "too many classes": (["generator=latent_by_class", "data.classes=11"], 3, "every class from 0 to 10"),
    "a generator without classes": (["feature=by_class"], 2, "say generator=latent_by_class or by_class"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_compared_by_class_is_refused_before_training(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightning.Trainer.fit", lambda *_, **__: pytest.fail("too late"))
    words, code, message = MISTAKES[case]
    judge = [] if "data=toy" in words else ["extractor=random_convolution"]
    assert main(["train", *words, *judge, "logger=none", f"runs={tmp_path}"]) == code
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1


def test_a_class_is_drawn_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=digits_by_class", "extractor=random_convolution", "metric=[frechet]", "logger=none"]
    assert main(["train", *words, "trainer.max_steps=20", f"runs={tmp_path}/runs"]) == 0
    (run,) = (tmp_path / "runs").glob("*/*")
    assert main(["sample", f"run={run}", f"out={tmp_path}/a.npz", "n=8", "label=3", "device=cpu"]) == 0
    trained = load(run)
    noise = trained.model.noise(8, 0, 3)
    assert (trained.model.generator.label(noise) == 3).all()
    expected = trained.modality.to_stored(trained.model.generate(8, label=3).refined)
    assert (numpy.load(tmp_path / "a.npz")["samples"] == trained.modality.array(expected)).all()
    assert not torch.equal(trained.model.generate(8).draft, trained.model.generate(8, label=3).draft)
    capsys.readouterr()
    assert main(["sample", f"run={run}", f"out={tmp_path}/b.npz", "label=10", "device=cpu"]) == 2
    assert "label: 10; the classes are 0 to 9" in capsys.readouterr().err
