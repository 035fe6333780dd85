"""The samples that are judged: what a pair makes, of nothing or of damaged samples of a split."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.error import NonFiniteError
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.seeding import fold, normal_rows, seeded

BATCH = 500


class Maker:
    """Draws samples, and damages real ones, as functions of the seed, the weights and the data alone.

    Args:
        data: real samples.
        n: number of generated samples; ``None`` for as many as the split has.
        seed: keys the noise of generated samples and how real ones are damaged.
    """

    def __init__(self, data: Data, n: int | None, seed: int) -> None:
        self.data = data
        self.n = n
        self.seed = seed
        self._damaged: dict[str, Observation | None] = {}

    def count(self, split: str) -> int:
        """Number of samples that are generated to be compared with a split."""
        return self.n or self.data.count(split)

    def noise(self, pair: Pair, split: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """What parts of the samples are drafted from, ``[n, pair.noise_dim]`` on the CPU for each.

        The numbers of all samples are drawn in order, and those of a few are in memory at once.

        Args:
            pair: drafts.
            split: to be compared with.
            parts: numbers of samples ``[n]``; they ascend within a part and from part to part.
        """
        rng = torch.Generator().manual_seed(fold(self.seed))
        stream, begun = normal_rows(self.count(split), pair.noise_dim, rng), 0
        everyone, found = torch.cat(list(parts)), torch.empty(0, pair.noise_dim)
        for part in parts:
            while len(found) < len(part):
                chunk = next(stream)
                inside = everyone[(everyone >= begun) & (everyone < begun + len(chunk))] - begun
                found, begun = torch.cat([found, chunk[inside]]), begun + len(chunk)
            yield found[: len(part)]
            found = found[len(part) :]

    def originals(self, split: str, rows: Tensor) -> Tensor:
        """Clean samples ``[n, ...]`` of which the damaged ones number ``rows`` are made."""
        return self.data.modality.to_sample(self.data.pick(split, rows % self.data.count(split)))

    def damaged(self, pair: Pair, split: str) -> Observation | None:
        """What is observed of the samples of a split, on the CPU; the same whenever it is asked for."""
        if split not in self._damaged:
            rng = torch.Generator().manual_seed(fold(self.seed, 1))
            chunks = torch.arange(self.count(split)).split(BATCH)
            parts = [pair.task.observe(self.originals(split, rows), rng) for rows in chunks]
            there = [part for part in parts if part is not None]
            self._damaged[split] = Observation(*map(torch.cat, zip(*there, strict=True))) if there else None
        return self._damaged[split]

    def make(self, pair: Pair, split: str, rows: Tensor) -> dict[str, Tensor]:
        """Samples number ``rows``, ``[n, ...]`` as stored, by stage: damaged (if any are), draft, refined.

        The numbers ascend.
        """
        everyone, parts = self.damaged(pair, split), rows.split(BATCH)
        stages: dict[str, list[Tensor]] = {}
        for part, noise in zip(parts, self.noise(pair, split, parts), strict=True):
            observed = everyone and everyone.rows(part).to(pair.device)
            drawn = noise.to(pair.device)
            draft = pair.draft(drawn, observed)
            made = {"draft": draft, "refined": pair.refine(draft, observed, drawn)}
            for stage, samples in ({"damaged": observed.sample} | made if observed else made).items():
                stages.setdefault(stage, []).append(self.stored(samples))
        return {stage: torch.cat(parts) for stage, parts in stages.items()}

    def stored(self, sample: Tensor) -> Tensor:
        """Samples as they would be stored.

        Raises:
            NonFiniteError: if one is not finite.
        """
        if not sample.isfinite().all():
            raise NonFiniteError("NONFINITE", "the pair makes samples that are not finite; see the losses")
        return self.data.modality.to_stored(sample)


@contextmanager
def evaluating(model: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode without gradients, seeded; afterwards each module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with seeded(seed), torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
