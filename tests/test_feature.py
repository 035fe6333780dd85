"""Where objectives compare: every feature that conf/feature names."""

import zipfile
from pathlib import Path
from typing import Any

import parts
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.cli import main
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.data.digits import Digits
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import CheckpointError, ConfigError, DataError, LabError, RefusedError
from stable_diffusion_lab.extractor import classifier, random_convolution
from stable_diffusion_lab.extractor.base import convolutional_body
from stable_diffusion_lab.layer.pooling import pooled
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.energy import Energy
from stable_diffusion_lab.objective.feature.backbone import Backbone
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.objective.feature.classifier import Classifier
from stable_diffusion_lab.objective.feature.encoder import Encoder
from stable_diffusion_lab.objective.feature.identity import Identity
from stable_diffusion_lab.objective.feature.network import Network
from stable_diffusion_lab.objective.feature.random_convolution import RandomConvolution
from stable_diffusion_lab.refiner import convolutional, mlp
from stable_diffusion_lab.refiner.base import Refiner

NAMES = parts.members("feature")
UNTOLD = [name for name in NAMES if name != "by_observation"]  # which tests/test_by_observation.py tries
NETWORKS = [name for name in UNTOLD if name not in ("identity", "by_class")]
SPACES = {"latents": parts.pair_in_latents, "pixels": parts.pair_in_pixels}
REFINERS = {
    "mlp": lambda: mlp.MLP(parts.IMAGE, parts.LATENT_DIM, 12, 0.2),
    "convolutional": lambda: convolutional.Convolutional(parts.IMAGE, parts.LATENT_DIM, 4, 12, 0.2),
    "of a user": lambda: parts.LinearRefiner(parts.IMAGE, parts.LATENT_DIM),
}
STAGES = {"draft": ["draft"], "refined": ["refined"], "both": ["draft", "refined"]}


def overrides(name: str) -> list[str]:
    return [f"feature={name}", *(["feature.path=x"] if name == "backbone" else [])]


def feature(name: str, pair: Pair) -> Feature:
    return parts.build("feature", name, pair, *overrides(name)[1:])


def pair(space: str, refiner: str, stages: list[str]) -> Pair:
    """A pair with a refiner of some kind; the decoder of latents is the same refiner's."""
    kind = {"latents": Latents, "pixels": Pixels}[space]
    shape = (parts.LATENT_DIM,) if space == "latents" else parts.IMAGE
    return Pair(parts.LinearGenerator(parts.LATENT_DIM, shape), REFINERS[refiner](), kind(stages))


def slopes(term: Tensor, module: nn.Module) -> list[Tensor]:
    learnt = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(term, learnt, retain_graph=True, allow_unused=True) if learnt else ()
    return [slope for slope in found if slope is not None]


@pytest.mark.parametrize("name", UNTOLD)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("objective", "dtype"), [("sinkhorn", torch.float32), ("energy", torch.float64)])
def test_terms_are_finite_and_reach_the_generator_alone(
    name: str, space: str, objective: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = SPACES[space]()
    (loss,) = parts.build("objective", objective, model, *overrides(name)).values()
    loss.to(dtype)
    terms = loss(model, *parts.situation(model, dtype=dtype))
    assert set(terms) == {"generator"}
    term = terms["generator"]
    assert term.shape == () and term.isfinite() and term.dtype == dtype
    found = slopes(term, model.generator)
    assert len(found) == len(list(model.generator.parameters())), "distributed training wants them all"
    assert all(slope.isfinite().all() for slope in found) and sum(slope.abs().sum() for slope in found) > 0
    assert not slopes(term, model.refiner)
    assert all(p.requires_grad for p in model.parameters())
    assert not [p for p in loss.parameters() if p.requires_grad], "a feature is no player"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("objective", ["non_saturating", "relativistic"])
def test_a_critic_judges_one_layer(name: str, objective: str) -> None:
    model = parts.pair_in_pixels()
    layer = [] if name == "backbone" else ["feature.layers=[-1]"]
    found, _ = feature_of(name, model, *layer)(model, *parts.situation(model))
    shape = f"critic.shape=[{found.generated.shape[1]}]"
    (loss,) = parts.build(
        "objective", objective, model, *overrides(name), *layer, "critic=mlp", shape
    ).values()
    terms = loss(model, *parts.situation(model))
    assert set(terms) == {"generator", "critic"}
    assert slopes(terms["generator"], model.generator) and not slopes(terms["generator"], loss)
    assert not slopes(terms["critic"], model) and len(slopes(terms["critic"], loss)) == len(
        list(loss.critic.parameters())
    )


def feature_of(name: str, model: Pair, *words: str) -> Feature:
    return parts.build("feature", name, model, *overrides(name)[1:], *words)


def test_a_critic_of_another_shape_is_one_clear_mistake() -> None:
    model = parts.pair_in_pixels()
    (loss,) = parts.build("objective", "non_saturating", model, "feature=encoder").values()
    with pytest.raises(
        ConfigError, match=r"critic\.shape: \[1, 8, 8\], but points are \[6\]; say critic=mlp"
    ) as found:
        loss(model, *parts.situation(model))
    assert "critic.shape=[6]" in found.value.args[0]


@pytest.mark.parametrize("name", UNTOLD)
def test_no_feature_waits_for_the_device(name: str) -> None:
    model = parts.pair_in_latents()
    compare = feature(name, model)
    compare.bank = 5
    batch, draft = parts.situation(model)
    model.to("meta")
    compare.to("meta")
    noise = draft.noise.to("meta")
    for _ in range(2):
        pairs = compare(
            model, Batch(batch.clean.to("meta"), batch.label.to("meta")), Draft(noise, model.generator(noise))
        )
    assert all(pair.generated.is_meta and pair.real.is_meta for pair in pairs)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("stages", STAGES)
def test_encoder_sees_what_the_samples_of_each_stage_are(space: str, refiner: str, stages: str) -> None:
    model = pair(space, refiner, STAGES[stages])
    batch, draft = parts.situation(model)
    found = Encoder(pool=8)(model, batch, draft)
    sample = model.refiner.decode(draft.code) if space == "latents" else draft.code
    samples = {"draft": sample, "refined": model.refiner(sample)}
    layers = len(model.refiner.features(batch.clean))
    assert layers == {"mlp": 3, "convolutional": 4, "of a user": 1}[refiner]
    assert len(found) == layers * len(STAGES[stages])
    for index, stage in enumerate(STAGES[stages]):
        last = found[(index + 1) * layers - 1]
        unit = model.refiner.encode(batch.clean).mean.norm(dim=1).square().mean().sqrt()
        torch.testing.assert_close(last.generated, model.refiner.encode(samples[stage]).mean / unit)
        torch.testing.assert_close(last.real, model.refiner.encode(batch.clean).mean / unit)
    assert not any(pair.real.requires_grad for pair in found)
    total = sum(pair.generated.sum() for pair in found)
    assert slopes(total, model.generator) and not slopes(total, model.refiner)


@pytest.mark.parametrize("refiner", ["mlp", "convolutional"])
def test_features_of_a_refiner_are_what_follows_its_nonlinearities(refiner: str) -> None:
    network = REFINERS[refiner]()
    x = torch.rand(3, *parts.IMAGE) * 2 - 1
    seen: list[Tensor] = []
    for layer in network.encoder:
        if isinstance(layer, nn.SiLU):
            layer.register_forward_hook(lambda module, given, output: seen.append(output))
    posterior = network.encode(x)
    expected = [*seen, posterior.mean]
    found = network.features(x)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_encoder_works_for_vectors() -> None:
    model = Pair(parts.LinearGenerator(3, (5,)), mlp.MLP((5,), 4, 12, 0.2), Pixels(["draft", "refined"]))
    terms = Energy(Encoder())(model, *parts.situation(model))
    assert terms["generator"].isfinite()


@pytest.mark.parametrize(
    "make",
    [RandomConvolution, Classifier, lambda shape: Backbone(nn.Identity(), "x", ["0"], shape)],
)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (1, 1, 9)])
def test_networks_of_images_refuse_what_is_none(make: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"feature\.shape: .*; for other samples say feature=encoder"):
        make(shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_have_the_same_say_whatever_their_size(name: str) -> None:
    model = pair("pixels", "convolutional", ["draft"])
    compare = feature(name, model)
    for found in compare(model, *parts.situation(model)):
        torch.testing.assert_close(found.real.square().sum(1).mean(), torch.tensor(1.0))


def test_a_network_that_sees_nothing_gives_no_nan() -> None:
    class Blind(Network):
        def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
            return [0 * x]

    model = parts.pair_in_pixels()
    for found in Blind()(model, *parts.situation(model)):
        assert found.real.isfinite().all() and found.generated.isfinite().all()


def test_layers_are_chosen_by_number_from_both_ends() -> None:
    model = pair("pixels", "mlp", ["draft"])
    situation = parts.situation(model)
    everything = Encoder()(model, *situation)
    for numbers in ([0], [-1, 1], [2]):
        chosen = Encoder(layers=numbers)(model, *situation)
        assert [c.real.shape for c in chosen] == [everything[n].real.shape for n in numbers]
        assert all(torch.equal(c.real, everything[n].real) for c, n in zip(chosen, numbers, strict=True))
    with pytest.raises(ConfigError, match=r"feature\.layers: \[3\]; the network has 3, 0 to 2"):
        Encoder(layers=[3])(model, *situation)


@pytest.mark.parametrize(("side", "shape"), [(4, (5, 7)), (4, (4, 4)), (2, (3, 9)), (1, (6, 6)), (9, (5, 2))])
def test_pooling_is_adaptive_average_pooling(side: int, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    sides = [min(side, length) for length in shape]
    torch.testing.assert_close(pooled(x, side), adaptive_avg_pool2d(x, sides))
    weights = torch.randn_like(pooled(x, side))
    (mine,) = torch.autograd.grad((pooled(x, side) * weights).sum(), x)
    (theirs,) = torch.autograd.grad((adaptive_avg_pool2d(x, sides) * weights).sum(), x)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_stay_in_evaluation_mode(name: str) -> None:
    loss = Energy(feature(name, parts.pair_in_pixels())).train()
    assert loss.training
    assert not any(module.training for module in loss.feature.modules())


@pytest.mark.parametrize(
    ("mine", "judge"),
    [(RandomConvolution, random_convolution.RandomConvolution), (Classifier, classifier.Classifier)],
)
def test_what_trains_is_not_what_judges(mine: Any, judge: Any) -> None:
    same: dict[str, Any] = {"shape": (1, 8, 8), "feature_dim": 8, "channels": 4, "seed": 3}
    trains, judges = mine(**same).network, judge(**same)
    assert not torch.allclose(trains.body[0].weight, judges.body[0].weight)
    assert torch.equal(trains.body[0].weight, mine(**same).network.body[0].weight)
    default = mine((1, 8, 8)).network, judge((1, 8, 8))
    assert default[0].body[0].weight.shape != default[1].body[0].weight.shape


@pytest.mark.parametrize("kind", [RandomConvolution, Classifier])
def test_building_leaves_the_global_random_state_alone(kind: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    kind((1, 8, 8))
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def test_classifier_learns_the_labels_and_is_kept_apart_from_the_judge(
    digits: Digits, tmp_path: Path
) -> None:
    compare = Classifier((1, 8, 8), steps=150)
    before = compare.network.body[0].weight.clone()
    compare.prepare(digits, tmp_path)
    assert not torch.equal(compare.network.body[0].weight, before)
    assert not [p for p in compare.parameters() if p.requires_grad]
    judge = classifier.Classifier((1, 8, 8), steps=150)
    judge.prepare(digits, tmp_path)
    assert len(list(tmp_path.glob("classifier-*"))) == 2
    again = Classifier((1, 8, 8), steps=150)
    again.prepare(digits, tmp_path)
    assert len(list(tmp_path.glob("classifier-*"))) == 2
    assert torch.equal(again.network.body[0].weight, compare.network.body[0].weight)
    # Digits of one class lie nearer to each other than those of different ones.
    x, labels = digits.test.samples[:200].float() / 127.5 - 1, digits.test.labels[:200]
    last = compare.points(x, parts.pair_in_pixels())[-1]
    away = torch.cdist(last, last)
    alike = labels[:, None] == labels
    assert away[alike].mean() < 0.8 * away[~alike].mean()


def test_classifier_wants_labels_and_says_what_does_not(digits: Digits, tmp_path: Path) -> None:
    splits = [split._replace(labels=None) for split in digits.splits.values()]
    with pytest.raises(DataError, match="feature=random_convolution"):
        Classifier((1, 8, 8)).prepare(Data("plain", digits.shape, *splits), tmp_path)


def body(seed: int = 1) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return convolutional_body((1, 8, 8), 4, 6)


def backbone(path: Path, **options: Any) -> Backbone:
    settings: dict[str, Any] = {"layers": ["1", "3"], "shape": (1, 8, 8), **options}
    return Backbone(settings.pop("network", body()), str(path), **settings)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(body(seed=2).state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_backbone_sees_what_its_layers_put_out(weights: Path, digits: Digits) -> None:
    compare, model = backbone(weights, pool=8), parts.pair_in_pixels()
    compare.prepare(digits, weights.parent)
    batch, draft = parts.situation(model)
    original = body(seed=2)
    expected = [original[:2](batch.clean).flatten(1), original(batch.clean)]
    found = compare(model, batch, draft)
    assert len(found) == 4
    for mine, theirs in zip(found[:2], expected, strict=True):
        torch.testing.assert_close(mine.real, theirs / theirs.square().sum(1).mean().sqrt())
    assert not any(module._forward_hooks for module in compare.modules())


def test_backbone_gives_its_network_the_units_it_was_trained_in() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False))
    compare = backbone(Path("x"), network=network, layers=["0"], mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0])
    grey = torch.rand(5, 1, 8, 8)
    coloured = torch.stack([(grey[:, 0] - m) / s for m, s in ((0.1, 1), (0.2, 2), (0.3, 4))], 1)
    (found,) = compare.maps(2 * grey - 1, parts.pair_in_pixels())
    torch.testing.assert_close(found, network(coloured))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["7"]}, r"feature\.layers: \['7'\]; choose from 0, 1, 2, 3"),
        ({"layers": []}, r"feature\.layers: "),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, r"feature\.network: cannot take images \[1, 8, 8\]"),
        ({"shape": (1, 16, 16)}, r"feature\.network: cannot take images \[1, 16, 16\]"),
    ],
)
def test_a_backbone_that_does_not_fit_is_found_when_it_is_built(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backbone(Path("x"), **options)


class Code:
    def __reduce__(self) -> Any:
        return print, ("run",)


def damaged(path: Path) -> None:
    """Flip one bit of the largest tensor."""
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda it: it.file_size)
    content = bytearray(path.read_bytes())
    content[entry.header_offset + entry.file_size] ^= 1
    path.write_bytes(content)


FILES: dict[str, tuple[Any, type[LabError], str]] = {
    "missing": (lambda path: path.unlink(), CheckpointError, "no such file"),
    "page": (lambda path: path.write_bytes(b"<html>"), CheckpointError, "a web page"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:700]), CheckpointError, "cut off"),
    "bit": (damaged, CheckpointError, "is damaged"),
    "list": (lambda path: torch.save([1], path), CheckpointError, "not tensors by name"),
    "nested": (lambda path: torch.save({"model": {}}, path), CheckpointError, "not tensors by name"),
    "script": (lambda path: torch.jit.script(body()).save(str(path)), CheckpointError, "not written by"),
    "code": (lambda path: torch.save({"a": Code()}, path), RefusedError, "which could run code"),
    "module": (lambda path: torch.save(body(), path), RefusedError, "which could run code"),
    "name": (lambda path: torch.save({"x": torch.ones(1)}, path), CheckpointError, "5 tensors do not fit"),
    "size": (
        lambda path: torch.save(convolutional_body((1, 8, 8), 5, 6).state_dict(), path),
        CheckpointError,
        r"tensors do not fit feature\.network, such as 0\.weight",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_state_dict_of_this_network_is_named(
    fault: str, weights: Path, digits: Digits, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, kind, message = FILES[fault]
    spoil(weights)
    compare = backbone(weights)
    before = [p.clone() for p in compare.parameters()]
    with pytest.raises(kind, match=message) as found:
        compare.prepare(digits, weights.parent)
    assert str(weights) in found.value.args[0] and "\n" not in found.value.args[0]
    assert found.value.exit_code == (9 if kind is RefusedError else 4)
    assert all(torch.equal(p, q) for p, q in zip(compare.parameters(), before, strict=True))
    assert "run" not in capsys.readouterr().out


def test_identity_compares_where_the_generator_draws() -> None:
    for build in SPACES.values():
        model = build()
        batch, draft = parts.situation(model)
        found = Identity()(model, batch, draft)
        assert torch.equal(found[0].generated, draft.code)
        assert torch.equal(found[0].real, model.embed(batch.clean))


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_is_chosen_on_the_command_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDLAB_CACHE", str(tmp_path / "cache"))
    words = [f"feature={name}", "logger=none", "extractor=random_convolution", f"runs={tmp_path}/runs"]
    words += ["feature.bank=64", "trainer.max_steps=20", "metric=[frechet]"]
    words += ["feature.steps=20"] if name == "classifier" else []
    words += ["generator=latent_by_class"] if name == "by_class" else []
    words += ["task=inpainting"] if name == "by_observation" else []
    if name == "backbone":
        torch.save(convolutional_body((1, 8, 8), 32, 128).state_dict(), tmp_path / "weights.pt")
        words += [f"feature.path={tmp_path}/weights.pt"]
    assert main(["train", *words]) == 0, capsys.readouterr().err
    (run,) = (tmp_path / "runs").glob("*/*")
    assert (tmp_path / "cache").exists() == (name == "classifier"), "prepared, if there is something to learn"
    for path in (tmp_path / "cache", tmp_path / "weights.pt"):  # the folder is enough to go on
        if path.exists():
            path.rename(path.with_name("gone"))
    assert main(["train", f"resume={run}", "trainer.max_steps=24"]) == 0, capsys.readouterr().err
    state = torch.load(run / "checkpoints" / "step-00000024.ckpt", weights_only=True)["state_dict"]
    kept = state["objectives.sinkhorn.feature._extra_state"]
    assert all(len(points) == 64 for points in kept)
    if name == "backbone":
        weights = torch.load(tmp_path / "gone", weights_only=True)
        found = {key: state[f"objectives.sinkhorn.feature.network.{key}"] for key in weights}
        assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_refiner_base_offers_the_posterior_mean() -> None:
    refiner: Refiner = REFINERS["of a user"]()
    x = torch.rand(3, *parts.IMAGE)
    (found,) = refiner.features(x)
    assert torch.equal(found, refiner.encode(x).mean)
