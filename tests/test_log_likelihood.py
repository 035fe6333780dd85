"""Bounds on log p(x) against a linear Gaussian model, whose evidence and posterior are known exactly."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from test_variational import ExactRefiner, loadings
from tiny import Batches, System, trainer
from torch import Tensor, nn

from stable_diffusion_lab.data.base import Data, Split
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.extractor.random_convolution import RandomConvolution
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.modality.image import Image
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.mlp import MLP
from stable_diffusion_lab.training.evaluator import Evaluator
from stable_diffusion_lab.training.log_likelihood import log_likelihood
from stable_diffusion_lab.training.monitor import Monitor


def data(n: int = 2000) -> Tensor:
    return torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_every_draw_of_the_true_posterior_gives_the_log_density() -> None:
    refiner, x = ExactRefiner(loadings(0), 0.5), data()
    found, truth = log_likelihood(refiner, x, draws=3), refiner.marginal().log_prob(x) / 4
    torch.testing.assert_close(found.elbo, truth)
    torch.testing.assert_close(found.iwae, truth)


@pytest.mark.parametrize(("blur", "shift"), [(1.5, 0.0), (0.6, 0.0), (1.0, 0.4)])
def test_bounds_are_in_order_and_the_gap_is_the_divergence_of_the_posteriors(
    blur: float, shift: float
) -> None:
    torch.manual_seed(0)
    refiner, x = ExactRefiner(loadings(0), 0.5, blur, shift), data()
    truth = refiner.marginal().log_prob(x).mean().item() / 4
    found = [log_likelihood(refiner, x, draws) for draws in (1, 10, 200)]
    means = [[it.elbo.mean().item(), it.iwae.mean().item()] for it in found]
    (one, same), (elbo, ten), (_, many) = means
    assert one == pytest.approx(same), "one draw is no importance weighting"
    assert elbo + 0.01 < ten < many < truth + 0.002
    exact, posterior = ExactRefiner(loadings(0), 0.5).encode(x), refiner.encode(x)
    normals = [torch.distributions.Normal(q.mean, (q.log_variance / 2).exp()) for q in (posterior, exact)]
    gap = torch.distributions.kl_divergence(*normals).sum(dim=1).mean().item() / 4
    assert elbo == pytest.approx(truth - gap, abs=0.01)
    assert many == pytest.approx(truth, abs=0.01)


def test_importance_weighting_never_loosens_the_bound() -> None:
    found = log_likelihood(ExactRefiner(loadings(0), 0.5, blur=2.0), data(), draws=5)
    assert (found.iwae >= found.elbo).all()


def test_it_is_the_refiners_own_bound_with_its_constant() -> None:
    torch.manual_seed(0)
    refiner, x = MLP((1, 4, 4), 3, 8, decoder_scale=0.3), torch.rand(2, 1, 4, 4) * 2 - 1
    constant = -8 * math.log(2 * math.pi * 0.3**2)
    many = x.repeat_interleave(20_000, dim=0)
    own, found = refiner.elbo(many, many) + constant, log_likelihood(refiner, many, 1).elbo
    expected = (own / 16).view(2, -1).mean(dim=1).tolist()
    assert found.view(2, -1).mean(dim=1).tolist() == pytest.approx(expected, abs=0.02)


class Constant(Generator):
    """Drafts black images."""

    def __init__(self) -> None:
        super().__init__(2, (1, 4, 4))
        self.drafted = 0

    def forward(self, noise: Tensor) -> Tensor:
        self.drafted += len(noise)
        return torch.full((len(noise), 1, 4, 4), -1.0)


def judge(n: int) -> tuple[Evaluator, Pair, Data]:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (n, 1, 4, 4), generator=rng, dtype=torch.uint8)
    split = Split(images, None)
    found = Data("noise", (1, 4, 4), split, split, split)
    extractor = RandomConvolution(found.shape, feature_dim=4)
    pair = Pair(Constant(), MLP((1, 4, 4), 3, 8, decoder_scale=0.3), Pixels())
    return Evaluator(found, extractor, {}, None, seed=0), pair, found


def test_evaluator_bounds_the_evidence_of_real_drafted_and_refined_samples() -> None:
    evaluator, pair, found = judge(200)
    pair.train()
    state, values = torch.get_rng_state(), evaluator.log_likelihood(pair, "validation")
    assert torch.equal(torch.get_rng_state(), state) and pair.training
    assert values == evaluator.log_likelihood(pair, "validation")
    assert values.keys() == {"elbo", "iwae", "draft/elbo", "refined/elbo"}
    black = torch.full((200, 1, 4, 4), -1.0)
    samples = {"elbo": Image().to_sample(found.test.samples), "draft/elbo": black}
    samples["refined/elbo"] = pair.refine(black)
    for name, x in samples.items():
        assert values[name] == pytest.approx(log_likelihood(pair.refiner, x, 50).elbo.mean().item(), rel=0.02)
    assert values["iwae"] > values["elbo"]


def test_a_thousand_of_each_are_looked_at_and_not_only_the_first() -> None:
    evaluator, pair, found = judge(2500)
    seen: list[int] = []
    pair.refiner.encoder.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    values = evaluator.log_likelihood(pair, "test")
    assert sum(seen) == 4 * 1000, "drafts a second time, to be refined"
    assert pair.generator.drafted == 1000
    found.test.samples[1500:] = 0
    assert evaluator.log_likelihood(pair, "test")["elbo"] != pytest.approx(values["elbo"], abs=0.1)


class Judge:
    """Stands for an evaluator."""

    def higher_is_better(self) -> dict[str, bool]:
        return {"draft/fd": False}

    def score(self, model: nn.Module, split: str, rank: int, world: int) -> dict[str, float]:
        return {"draft/fd": 2.0}

    def log_likelihood(self, model: nn.Module, split: str) -> dict[str, float]:
        return {"elbo": -1.5, "draft/elbo": -0.5}


def test_monitor_logs_the_evidence_beside_the_scores(tmp_path: Path) -> None:
    stand_in: Any = Judge()
    monitor = Monitor(stand_in, every=2)
    logger = CSVLogger(tmp_path, name="log", version="0")
    trainer(tmp_path, [monitor], 2, logger=logger, log_every_n_steps=1).fit(System(), Batches(2))
    header, *lines = (tmp_path / "log" / "0" / "metrics.csv").read_text().splitlines()
    columns = [header.split(",").index(f"validation/{name}") for name in ("draft/fd", "elbo", "draft/elbo")]
    rows = [[line.split(",")[column] for column in columns] for line in lines]
    assert ["2.0", "-1.5", "-0.5"] in rows
    assert monitor.latest == {"draft/fd": 2.0}
