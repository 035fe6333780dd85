"""Like compared with like: points together with their classes."""

from pathlib import Path

from torch import Tensor

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat
from stable_diffusion_lab.draft.base import Comparison
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.extractor.base import TrainingData
from stable_diffusion_lab.layer.label import append, channel, one_hot, separate
from stable_diffusion_lab.layer.pairwise import typical_distance
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.ranks import gather


class ByClass(Feature):
    """Compares the joint distributions of point and class: p_theta(x, y) with p_data(x, y).

    The generator draws its classes as often as the data has them, p_theta(y) = p_data(y), so

        p_theta(x, y) = p_data(x, y)   if and only if   p_theta(x | y) = p_data(x | y) wherever p(y) > 0,

    and every objective that compares distributions compares the conditional ones, without knowing it. For a
    critic that is the conditional game of Mirza & Osindero (2014). Drafts that look like the data and have
    their classes exchanged are at no distance in p(x), and at a large one here.

    The class is a one-hot vector behind the channels of a point (see ``layer.label``), in such a length that
    points of different classes are ``weight`` times as far apart by their class alone as real points are
    typically, sqrt(E |y - y'|^2). With a large weight only points of the same class are near each other: a
    kernel that falls fast enough gives the sum over y of p(y)^2 times the discrepancy within y. Objectives
    that take lengths in units of the points' distances (all but ``energy`` and critics) see less of what is
    within a class the larger the weight.

    Args:
        inner: makes the points.
        conditions: the generator's and the data's classes, a channel each.
        weight: see above.
        bank: see ``Feature``; ``inner`` keeps none of its own.

    Raises:
        ConfigError: if there are no classes, the generator's later on, or ``inner`` has a bank.
    """

    def __init__(
        self,
        inner: Feature,
        conditions: NonNegativeInt,
        weight: PositiveFloat = 1.0,
        bank: NonNegativeInt = 0,
    ) -> None:
        super().__init__(bank)
        if conditions == 0:
            raise _without_classes()
        if inner.bank:
            raise ConfigError("CFG-FIT", f"feature.inner.bank: {inner.bank}; say feature.bank={inner.bank}")
        self.inner = inner
        self.conditions = conditions
        self.weight = weight

    def compare(self, model: Pair, batch: Batch, draft: Draft) -> list[Comparison]:
        drawn = model.generator.label(draft.noise)
        if drawn is None:
            raise _without_classes()
        if batch.label is None:
            raise _without_labels("the batch")
        generated, real = one_hot(drawn, self.conditions), one_hot(batch.label, self.conditions)
        pairs = self.inner.compare(model, batch, draft)
        return [Comparison(append(x, generated), append(y, real)) for x, y in pairs]

    def scale(self, pairs: list[Comparison]) -> list[Comparison]:
        """Scale the points as the inner feature does, and then the classes by the real points' distances."""
        generated, real = ([separate(x, self.conditions) for x in side] for side in zip(*pairs, strict=True))
        points = self.inner.scale([Comparison(x, y) for (x, _), (y, _) in zip(generated, real, strict=True)])
        lengths = [self.length(y) for _, y in points]
        return [
            Comparison(append(x, length * of_x), append(y, length * of_y))
            for (x, y), (_, of_x), (_, of_y), length in zip(points, generated, real, lengths, strict=True)
        ]

    def length(self, real: Tensor) -> Tensor:
        """What a one in a label is to count beside real points ``[M, ...]``, a scalar."""
        shape = real.shape[1:]
        places = real[0].numel() // shape[channel(shape)]  # at each of which labels differ by two ones
        everyone = gather(widen(real.flatten(1)))
        return self.weight * typical_distance(everyone, everyone) / (2 * places) ** 0.5

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """The inner feature is asked by itself.

        Raises:
            DataError: if the data has no labels.
        """
        if data.train.some()[1] is None:
            raise _without_labels(data.name)


def _without_classes() -> ConfigError:
    remedy = "say generator=latent_by_class or by_class, or feature=identity"
    return ConfigError("CFG-FIT", f"feature: the generator knows no classes to compare by; {remedy}")


def _without_labels(what: str) -> DataError:
    return DataError("DATA-LABELS", f"{what} has no labels to compare by; say feature=identity")
