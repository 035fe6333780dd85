"""Scores of a pair: features are extracted once, and every metric is a function of two sets of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation, Sample
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.error import NonFiniteError
from stable_diffusion_lab.extractor.base import Extractor
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.layer.ranks import collect
from stable_diffusion_lab.layer.seeding import fold, seeded
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.log_likelihood import log_likelihood

BATCH = 500
LIKELIHOOD = 1000  # samples of each kind whose evidence is bounded
DRAWS = 10  # of the posterior, for that bound


class Looked(NamedTuple):
    """What is kept of samples: features ``[n, D]`` and fidelities ``[n, F]``."""

    features: Tensor
    fidelities: Tensor


class Evaluator:
    """Compares generated with real samples in the features of one extractor.

    All results are functions of the seed, the weights and the data: not of the global random state, nor of
    the number of processes.

    Args:
        data: real samples.
        extractor: prepared for this data.
        metrics: by name.
        n: number of generated samples; ``None`` for as many as the split has.
        seed: keys the noise of generated samples, how samples are damaged, and the choice of real ones for
            the floor.
        fidelities: by name: how close restored samples are to those that were damaged.

    Attributes:
        features: of the last ``score``, by stage, ``{"draft": [M, D], "refined": [M, D]}``.
    """

    def __init__(
        self,
        data: Data,
        extractor: Extractor,
        metrics: Mapping[str, Metric],
        n: int | None,
        seed: int,
        fidelities: Mapping[str, Fidelity] | None = None,
    ) -> None:
        self.data = data
        self.extractor = extractor
        self.metrics = dict(metrics)
        self.fidelities = dict(fidelities or {})
        self.n = n
        self.seed = seed
        self.features: dict[str, Tensor] = {}
        self._real: dict[str, Tensor] = {}
        self._damaged: dict[str, Observation | None] = {}

    def count(self, split: str) -> int:
        """Number of samples that are generated to be compared with a split."""
        return self.n or len(self.data.splits[split].samples)

    def check(self, split: str) -> None:
        """Refuse a split or a number of samples too small for a metric, before anything is trained.

        Raises:
            LabError: naming the metric and the numbers, or a fidelity and samples that it is not for.
        """
        for fidelity in self.fidelities.values():
            fidelity.try_out(self.originals(split, torch.arange(1)))
        real = len(self.data.splits[split].samples)
        for metric in self.metrics.values():
            metric.check(real, self.count(split), self.extractor.feature_dim)

    def higher_is_better(self) -> dict[str, bool]:
        """Which way is up for each value of ``score``, by its name."""
        ways = self.ways().items()
        return {f"{stage}/{name}": up for stage in Sample._fields for name, up in ways}

    def ways(self) -> dict[str, bool]:
        """The same by the bare names of the values."""
        known: list[Metric | Fidelity] = [*self.metrics.values(), *self.fidelities.values()]
        return {name: up for it in known for name, up in it.higher_is_better.items()}

    def score(self, model: Pair, split: str, rank: int = 0, world: int = 1) -> dict[str, float]:
        """Compare drafts and their refinements with the real samples of a split.

        Args:
            model: the pair; left in the mode it was in.
            split: ``"train"``, ``"validation"`` or ``"test"``.
            rank: number of this process, which makes every ``world``-th sample.
            world: number of processes; each must call, and each gets the result.

        Returns:
            ``{"draft/fd": ..., "refined/fd": ..., ...}``; where the pair restores, each sample is
            made for one damaged sample of the split, and ``damaged/fd`` and so on stand before.

        Raises:
            DataError: if there are too few samples for a metric.
            NonFiniteError: if the pair makes a sample that is not finite.
        """
        self.check(split)
        rng = torch.Generator().manual_seed(fold(self.seed))
        noise = torch.randn(self.count(split), model.generator.noise_dim, generator=rng)
        parts: list[dict[str, Looked]] = []
        with _evaluating(model), seeded(fold(self.seed, rank)), torch.no_grad():
            everyone = self.damaged(model, split)
            for rows in torch.arange(len(noise))[rank::world].split(BATCH):
                observed = everyone and everyone.rows(rows).to(model.device)
                draft = model.draft(noise[rows].to(model.device), observed)
                stages = {"draft": draft, "refined": model.refine(draft, observed)}
                if observed:
                    stages = {"damaged": observed.sample, **stages}
                clean = self.originals(split, rows).to(model.device)
                parts.append({stage: self.look(x, clean, observed, model) for stage, x in stages.items()})
        found: dict[str, float] = {}
        for stage in parts[0]:
            features, values = (
                collect(torch.cat(kind), len(noise), world)
                for kind in zip(*(part[stage] for part in parts), strict=True)
            )
            if stage in Sample._fields:
                self.features[stage] = features
            names = [name for it in self.fidelities.values() for name in it.higher_is_better]
            # Nothing, if nothing is seen.
            closeness = dict(zip(names, values.mean(dim=0).tolist(), strict=False))
            found |= {f"{stage}/{k}": v for k, v in (self.compare(split, features) | closeness).items()}
        return found

    def originals(self, split: str, rows: Tensor) -> Tensor:
        """Clean samples ``[n, ...]`` of which the damaged ones number ``rows`` are made."""
        samples = self.data.splits[split].samples
        return self.data.modality.to_sample(samples[rows % len(samples)])

    def damaged(self, model: Pair, split: str) -> Observation | None:
        """What is observed of the samples of a split, on the CPU; the same in every evaluation."""
        if split not in self._damaged:
            rng = torch.Generator().manual_seed(fold(self.seed, 1))
            chunks = torch.arange(self.count(split)).split(BATCH)
            parts = [model.task.observe(self.originals(split, rows), rng) for rows in chunks]
            there = [part for part in parts if part is not None]
            self._damaged[split] = Observation(*map(torch.cat, zip(*there, strict=True))) if there else None
        return self._damaged[split]

    def look(self, sample: Tensor, clean: Tensor, observed: Observation | None, model: Pair) -> Looked:
        """Features and fidelities of samples ``[n, ...]`` as they would be stored."""
        modality = self.data.modality
        features = self._features(sample, model)
        if observed is None:
            return Looked(features, features[:, :0])
        shown = modality.to_sample(modality.to_stored(sample))
        values = [it(shown, clean, observed) for it in self.fidelities.values()]
        closeness = [v for found in values for v in found.values()]
        return Looked(features, torch.stack(closeness, dim=1).to(features))

    def log_likelihood(self, model: Pair, split: str) -> dict[str, float]:
        """How probable the refiner finds real and generated samples: bounds on E log p(x).

        At most 1,000 of each: real ones evenly spaced over the split, generated ones the first of ``score``.
        Every process finds the same.

        Args:
            model: the pair; left in the mode it was in.
            split: ``"train"``, ``"validation"`` or ``"test"``.

        Returns:
            Nats per dimension of a sample: ``elbo`` and ``iwae`` of real samples, ``draft/elbo`` and
            ``refined/elbo`` of generated ones (see ``LogLikelihood``). The refiner learns to raise the first,
            the objective ``reverse_kl`` the third. Drafts far above real samples have collapsed onto the
            most probable ones.
        """
        real = self.data.splits[split].samples
        real = real[:: -(-len(real) // LIKELIHOOD)].to(model.device)
        rng = torch.Generator().manual_seed(fold(self.seed))
        noise = torch.randn(self.count(split), model.generator.noise_dim, generator=rng)[:LIKELIHOOD]
        with _evaluating(model), seeded(fold(self.seed)), torch.no_grad():
            everyone = self.damaged(model, split)
            observed = everyone and everyone.rows(slice(LIKELIHOOD)).to(model.device)
            drafts = model.draft(noise.to(model.device), observed)
            data = log_likelihood(model.refiner, self.data.modality.to_sample(real), DRAWS)
            drafted = log_likelihood(model.refiner, drafts, DRAWS)
            refined = log_likelihood(model.refiner, model.refine(drafts, observed), DRAWS)
        values = {
            "elbo": data.elbo,
            "iwae": data.iwae,
            "draft/elbo": drafted.elbo,
            "refined/elbo": refined.elbo,
        }
        return {name: value.mean().item() for name, value in values.items()}

    def reconstruction(self, model: Pair, split: str) -> dict[str, float]:
        """Compare real samples of a split, after refinement, with themselves before: the refiner's floor."""
        with _evaluating(model), seeded(fold(self.seed)), torch.no_grad():
            parts = [
                self._features(model.refine(self.data.modality.to_sample(part.to(model.device))), model)
                for part in self.data.splits[split].samples.split(BATCH)
            ]
        return self.compare(split, torch.cat(parts))

    def floor(self, split: str) -> dict[str, float]:
        """Compare training samples with a split: what samples of the data itself score.

        As many as are generated are drawn without replacement, or all where there are fewer.
        """
        train = self.data.train.samples
        rng = torch.Generator().manual_seed(fold(self.seed))
        chosen = torch.randperm(len(train), generator=rng)[: self.count(split)]
        return self.compare(split, self.extractor.extract(train[chosen], BATCH))

    def compare(self, split: str, features: Tensor) -> dict[str, float]:
        """Values of all metrics for features ``[M, D]`` against those of a split."""
        real = self.real(split)
        return {k: v for metric in self.metrics.values() for k, v in metric(real, features).items()}

    def real(self, split: str) -> Tensor:
        """Features ``[N, D]`` of the samples of a split, extracted once."""
        if split not in self._real:
            self._real[split] = self.extractor.extract(self.data.splits[split].samples, BATCH)
        return self._real[split]

    def _features(self, sample: Tensor, model: Pair) -> Tensor:
        """Features of samples as they would be stored."""
        if not sample.isfinite().all():
            raise NonFiniteError("NONFINITE", "the pair makes samples that are not finite; see the losses")
        return self.extractor.to(model.device).extract(self.data.modality.to_stored(sample), BATCH)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards each module in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
