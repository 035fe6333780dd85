"""Scores of a pair: features are extracted once, and every metric is a function of two sets of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, distributed, nn

from stable_diffusion_lab.batch import Sample
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.error import NonFiniteError
from stable_diffusion_lab.extractor.base import Extractor
from stable_diffusion_lab.layer.seeding import fold, seeded
from stable_diffusion_lab.measure.base import Measure
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.training.log_likelihood import log_likelihood

BATCH = 500
LIKELIHOOD = 1000  # samples of each kind whose evidence is bounded
DRAWS = 10  # of the posterior, for that bound


class Evaluator:
    """Compares generated with real samples in the features of one extractor.

    All results are functions of the seed, the weights and the data: not of the global random state, nor of
    the number of processes.

    Args:
        data: real samples.
        extractor: prepared for this data.
        metrics: by name.
        n: number of generated samples; ``None`` for as many as the split has.
        seed: keys the noise of generated samples and the choice of real ones for the floor.
        measures: of stored samples, by name; prepared for this data.

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
        measures: Mapping[str, Measure] = MappingProxyType({}),
    ) -> None:
        self.data = data
        self.extractor = extractor
        self.metrics = dict(metrics)
        self.measures = dict(measures)
        self.n = n
        self.seed = seed
        self.features: dict[str, Tensor] = {}
        self._real: dict[str, Tensor] = {}

    def count(self, split: str) -> int:
        """Number of samples that are generated to be compared with a split."""
        return self.n or len(self.data.splits[split].samples)

    def check(self, split: str) -> None:
        """Refuse a split or a number of samples too small for a metric, before anything is trained.

        Raises:
            DataError: naming the metric and the numbers.
        """
        real = len(self.data.splits[split].samples)
        for metric in self.metrics.values():
            metric.check(real, self.count(split), self.extractor.feature_dim)

    def higher_is_better(self) -> dict[str, bool]:
        """Which way is up for each value of ``score``, by its name."""
        return {f"{stage}/{name}": up for stage in Sample._fields for name, up in self.ways().items()}

    def ways(self) -> dict[str, bool]:
        """Which way is up for each value of ``compare``."""
        judges: list[Metric | Measure] = [*self.metrics.values(), *self.measures.values()]
        return {name: up for judge in judges for name, up in judge.higher_is_better.items()}

    def score(self, model: Pair, split: str, rank: int = 0, world: int = 1) -> dict[str, float]:
        """Compare drafts and their refinements with the real samples of a split.

        Args:
            model: the pair; left in the mode it was in.
            split: ``"train"``, ``"validation"`` or ``"test"``.
            rank: number of this process, which makes every ``world``-th sample.
            world: number of processes; each must call, and each gets the result.

        Returns:
            ``{"draft/fd": ..., "refined/fd": ..., ...}``

        Raises:
            DataError: if there are too few samples for a metric.
            NonFiniteError: if the pair makes a sample that is not finite.
        """
        self.check(split)
        rng = torch.Generator().manual_seed(fold(self.seed))
        noise = torch.randn(self.count(split), model.generator.noise_dim, generator=rng)
        stages: dict[str, list[Tensor]] = {"draft": [], "refined": []}
        with _evaluating(model), seeded(fold(self.seed, rank)), torch.no_grad():
            for chunk in noise[rank::world].split(BATCH):
                draft = model.draft(chunk.to(_device(model)))
                stages["draft"].append(self._stored(draft))
                stages["refined"].append(self._stored(model.refine(draft)))
            found = {}
            for stage, parts in stages.items():
                own = torch.cat(parts)
                self.features[stage] = _gather(self._features(own, model), len(noise), world)
                everyone = _gather(own.flatten(1), len(noise), world) if self.measures else own.flatten(1)
                stored = everyone.unflatten(1, own.shape[1:])
                found[stage] = self.compare(split, self.features[stage], stored)
        return {f"{stage}/{name}": value for stage, values in found.items() for name, value in values.items()}

    def log_likelihood(self, model: Pair, split: str) -> dict[str, float]:
        """How probable the refiner finds real and generated samples: bounds on E log p(x).

        At most 1,000 of each: real ones evenly spaced over the split, generated ones the first of ``score``.
        Every process finds the same.

        Args:
            model: the pair; left in the mode it was in.
            split: ``"train"``, ``"validation"`` or ``"test"``.

        Returns:
            Nats per dimension of a sample, of text per token: ``elbo`` and ``iwae`` of real samples,
            ``draft/elbo`` and ``refined/elbo`` of generated ones as they are stored (see ``LogLikelihood``).
            The refiner learns to raise the first,
            the objective ``reverse_kl`` the third. Drafts far above real samples have collapsed onto the
            most probable ones.
        """
        real = self.data.splits[split].samples
        real = real[:: -(-len(real) // LIKELIHOOD)].to(_device(model))
        rng = torch.Generator().manual_seed(fold(self.seed))
        noise = torch.randn(self.count(split), model.generator.noise_dim, generator=rng)[:LIKELIHOOD]
        with _evaluating(model), seeded(fold(self.seed)), torch.no_grad():
            drafts = model.draft(noise.to(_device(model)))
            data = log_likelihood(model.refiner, self.data.modality.to_sample(real), DRAWS)
            drafted = log_likelihood(model.refiner, self._shown(drafts), DRAWS)
            refined = log_likelihood(model.refiner, self._shown(model.refine(drafts)), DRAWS)
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
                self._stored(model.refine(self.data.modality.to_sample(part.to(_device(model)))))
                for part in self.data.splits[split].samples.split(BATCH)
            ]
            stored = torch.cat(parts)
            return self.compare(split, self._features(stored, model), stored)

    def floor(self, split: str) -> dict[str, float]:
        """Compare training samples with a split: what samples of the data itself score.

        As many as are generated are drawn without replacement, or all where there are fewer.
        """
        train = self.data.train.samples
        rng = torch.Generator().manual_seed(fold(self.seed))
        chosen = torch.randperm(len(train), generator=rng)[: self.count(split)]
        return self.compare(split, self.extractor.extract(train[chosen], BATCH), train[chosen])

    def compare(self, split: str, features: Tensor, stored: Tensor) -> dict[str, float]:
        """All metrics of features ``[M, D]``, and all measures of the samples themselves, against a split."""
        real, samples = self.real(split), self.data.splits[split].samples
        found = [metric(real, features) for metric in self.metrics.values()]
        found += [measure(samples, stored.cpu()) for measure in self.measures.values()]
        return {name: value for values in found for name, value in values.items()}

    def real(self, split: str) -> Tensor:
        """Features ``[N, D]`` of the samples of a split, extracted once."""
        if split not in self._real:
            self._real[split] = self.extractor.extract(self.data.splits[split].samples, BATCH)
        return self._real[split]

    def _shown(self, sample: Tensor) -> Tensor:
        """Samples as networks see them when they have been stored."""
        return self.data.modality.to_sample(self.data.modality.to_stored(sample))

    def _stored(self, sample: Tensor) -> Tensor:
        """Samples as they would be stored."""
        if not sample.isfinite().all():
            raise NonFiniteError("NONFINITE", "the pair makes samples that are not finite; see the losses")
        return self.data.modality.to_stored(sample)

    def _features(self, stored: Tensor, model: Pair) -> Tensor:
        """Features of stored samples."""
        return self.extractor.to(_device(model)).extract(stored, BATCH)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


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


def _gather(features: Tensor, n: int, world: int) -> Tensor:
    """Put rows ``rank, rank + world, ...`` of all processes back in order, ``[n, D]`` in each process."""
    if world == 1:
        return features
    rows = -(-n // world)
    padded = nn.functional.pad(features, (0, 0, 0, rows - len(features)))
    parts = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[:n]
