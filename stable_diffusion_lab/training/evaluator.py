"""Scores of a pair: features are extracted once, and every metric is a function of two sets of them."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from stable_diffusion_lab.batch import Observation, Sample
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.extractor.base import Extractor
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.measure.base import Measure
from stable_diffusion_lab.metric.base import Metric
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.ranks import collect, share_out
from stable_diffusion_lab.seeding import fold
from stable_diffusion_lab.training.log_likelihood import LogLikelihood, log_likelihood
from stable_diffusion_lab.training.maker import BATCH, Maker, evaluating

LIKELIHOOD = 1000  # samples of each kind whose evidence is bounded
DRAWS = 10  # of the posterior, for that bound


class Evaluator:
    """Compares generated with real samples, in the features of one extractor and as they are.

    All results are functions of the seed, the weights and the data: not of the global random state, nor of
    the number of processes.

    Args:
        data: real samples.
        extractor: prepared for this data.
        metrics: of features, by name.
        n: number of generated samples; ``None`` for as many as the split has.
        seed: keys the noise of generated samples, how samples are damaged, and the choice of real ones for
            the floor.
        fidelities: by name: how close restored samples are to those that were damaged.
        measures: of stored samples, by name; prepared for this data.

    Attributes:
        features: of the last ``score``, by stage, ``{"draft": [M, D], "refined": [M, D]}``.
        maker: makes what is judged.
    """

    def __init__(
        self,
        data: Data,
        extractor: Extractor,
        metrics: Mapping[str, Metric],
        n: int | None,
        seed: int,
        fidelities: Mapping[str, Fidelity] = MappingProxyType({}),
        measures: Mapping[str, Measure] = MappingProxyType({}),
    ) -> None:
        self.data = data
        self.extractor = extractor
        self.metrics = dict(metrics)
        self.fidelities = dict(fidelities)
        self.measures = dict(measures)
        self.seed = seed
        self.maker = Maker(data, n, seed)
        self.features: dict[str, Tensor] = {}
        self._real: dict[str, Tensor] = {}

    def count(self, split: str) -> int:
        """Number of samples that are generated to be compared with a split."""
        return self.maker.count(split)

    def check(self, split: str) -> None:
        """Refuse a split or a number of samples too small for a metric, before anything is trained.

        Raises:
            LabError: naming the metric and the numbers, or a fidelity and samples that it is not for.
        """
        for fidelity in self.fidelities.values():
            fidelity.try_out(self.maker.originals(split, torch.arange(1)))
        real = self.data.count(split)
        for metric in self.metrics.values():
            metric.check(real, self.count(split), self.extractor.feature_dim)

    def higher_is_better(self) -> dict[str, bool]:
        """Which way is up for each value of ``score``, by its name."""
        return {f"{stage}/{name}": up for stage in Sample._fields for name, up in self.ways().items()}

    def ways(self) -> dict[str, bool]:
        """The same by the bare names of the values."""
        known: list[Metric | Measure | Fidelity] = [*self.metrics.values(), *self.measures.values()]
        known += self.fidelities.values()
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
        n = self.count(split)
        rows = torch.arange(n)[rank::world]
        found: dict[str, float] = {}
        with evaluating(model, fold(self.seed, rank)):
            observed = self.maker.damaged(model, split)
            for stage, own in self.maker.make(model, split, rows).items():
                sent = own.flatten(1).contiguous().view(torch.uint8)  # not every backend knows 16 bits
                stored = collect(sent, n, world).view(own.dtype).unflatten(1, own.shape[1:])
                features = collect(self.extract(own, model), n, world)
                if stage in Sample._fields:
                    self.features[stage] = features
                values = self.compare(split, features, stored, rank, world)
                values |= self.closeness(split, stored, observed, rank, world) if observed else {}
                found |= {f"{stage}/{name}": value for name, value in values.items()}
        return found

    def closeness(
        self, split: str, stored: Tensor, observed: Observation, rank: int = 0, world: int = 1
    ) -> dict[str, float]:
        """Means of all fidelities for restored samples ``[M, ...]`` of a split, in its order.

        This process, of ``world``, looks at every ``world``-th.
        """
        parts: list[dict[str, Tensor]] = []
        for rows in torch.arange(len(stored))[rank::world].split(BATCH):
            restored = self.data.modality.to_sample(stored[rows].cpu())
            clean, seen = self.maker.originals(split, rows), observed.rows(rows)
            values = (fidelity(restored, clean, seen) for fidelity in self.fidelities.values())
            parts.append({k: v for each in values for k, v in each.items()})
        found = {name: torch.cat([part[name] for part in parts]).to(stored.device) for name in parts[0]}
        return {
            name: collect(own[:, None], len(stored), world).cpu().mean().item() for name, own in found.items()
        }

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
            most probable ones. Where readers count in something else than entries (see ``Modality.units``),
            also ``elbo_per_character`` and so on: nats of all real samples over all their characters.
        """
        real, _ = self.data.splits[split].some(LIKELIHOOD)
        with evaluating(model, fold(self.seed)):
            made = self.maker.make(model, split, torch.arange(min(self.count(split), LIKELIHOOD)))
            data, drafted, refined = (
                self.likelihood(model, stored) for stored in (real, made["draft"], made["refined"])
            )
        values = {
            "elbo": data.elbo,
            "iwae": data.iwae,
            "draft/elbo": drafted.elbo,
            "refined/elbo": refined.elbo,
        }
        others = {
            f"{name}_per_{unit}": ((values[name] * data.entries).sum() / number.sum()).item()
            for unit, number in self.data.modality.units(real).items()
            for name in ("elbo", "iwae")
        }
        return {name: value.mean().item() for name, value in values.items()} | others

    def likelihood(self, model: Pair, stored: Tensor) -> LogLikelihood:
        """Bounds for samples ``[N, ...]`` as they are stored, each ``[N]``."""
        samples = (self.data.modality.to_sample(part.to(model.device)) for part in stored.split(BATCH))
        found = [log_likelihood(model.refiner, part, DRAWS) for part in samples]
        return LogLikelihood(*map(torch.cat, zip(*found, strict=True)))

    def reconstruction(self, model: Pair, split: str) -> dict[str, float]:
        """Compare real samples of a split, after refinement, with themselves before: the refiner's floor.

        They are refined as drafts are, with noise of their own where that is drawn by noise.
        """
        samples, to_sample = self.data.stored(split), self.data.modality.to_sample
        with evaluating(model, fold(self.seed)):
            noise = model.noise(len(samples), fold(self.seed)).split(BATCH)
            parts = (to_sample(part.to(model.device)) for part in samples.split(BATCH))
            refined = [
                model.refine(part, noise=drawing.to(part.device))
                for part, drawing in zip(parts, noise, strict=True)
            ]
            stored = torch.cat([self.maker.stored(part) for part in refined])
            return self.compare(split, self.extract(stored, model), stored)

    def floor(self, split: str) -> dict[str, float]:
        """Compare training samples with a split: what samples of the data itself score.

        As many as are generated are drawn without replacement, or all where there are fewer.
        """
        train = self.data.stored("train")
        rng = torch.Generator().manual_seed(fold(self.seed))
        chosen = torch.randperm(len(train), generator=rng)[: self.count(split)]
        return self.compare(split, self.extractor.extract(train[chosen], BATCH), train[chosen])

    def compare(
        self, split: str, features: Tensor, stored: Tensor, rank: int = 0, world: int = 1
    ) -> dict[str, float]:
        """Values of all metrics and measures for samples against those of a split.

        Args:
            split: ``"train"``, ``"validation"`` or ``"test"``.
            features: of the samples, ``[M, D]``.
            stored: the samples, ``[M, ...]``.
            rank: number of this process, which computes every ``world``-th of them.
            world: number of processes; each must call with the same samples, and each gets all values.
        """
        real, reference, told = self.real(split), self.data.stored(split), stored.cpu()
        jobs = [partial(metric, real, features) for metric in self.metrics.values()]
        jobs += [partial(measure, reference, told) for measure in self.measures.values()]
        return {name: value for values in share_out(jobs, rank, world) for name, value in values.items()}

    def real(self, split: str) -> Tensor:
        """Features ``[N, D]`` of the samples of a split, extracted once."""
        if split not in self._real:
            self._real[split] = self.extractor.extract(self.data.stored(split), BATCH)
        return self._real[split]

    def extract(self, stored: Tensor, model: Pair) -> Tensor:
        """Features ``[M, D]`` of stored samples, on the device of the pair."""
        return self.extractor.to(model.device).extract(stored, BATCH)
