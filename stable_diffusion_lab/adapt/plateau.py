"""Cooling down when the samples have stopped getting better."""

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from torch import Tensor, nn

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.bounds import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from stable_diffusion_lab.error import ConfigError


class Knob(NamedTuple):
    """An attribute that can be turned: a number or a sequence of them.

    Attributes:
        owner: the module that has it.
        name: of the attribute.
        first: its value before training.
    """

    owner: nn.Module
    name: str
    first: Any

    def turn(self, factor: float) -> None:
        """Set the attribute to its first value times a factor."""
        sequence = isinstance(self.first, tuple | list)
        value = tuple(each * factor for each in self.first) if sequence else self.first * factor
        setattr(self.owner, self.name, value)


class Plateau(Adapt):
    """Acts when a validation score has not improved by a relative threshold for several evaluations.

    The score improves when it beats the best so far by more than ``threshold * |best|``. At the
    ``patience``-th evaluation in a row that does not, everything named is multiplied by its factor, and the
    counting starts again; the best stays. The first evaluation always improves. Only scores of a generator
    that has learnt count. All terms count by their share.

    After ``acted`` actions a quantity is ``max(factor^acted, least)`` times what it was at first: a function
    of the count, so a resumed run finds its values again.

    Args:
        weights: see ``Adapt``.
        watch: name of the score, ``draft/...`` or ``refined/...``; its metric says which way is up.
        patience: evaluations without improvement before something happens.
        threshold: relative improvement below which a score counts as the same.
        rate: factor on the learning rates of all players.
        actions: factors in [0, 1] on attributes by their path below the system, such as
            ``objectives.sinkhorn.temperature`` or ``refinement.evidence.noise_scale``: numbers with a
            fraction, or sequences of them. Nested mappings, or paths with dots.
        least: share of its first value below which nothing falls, at most 1.

    Raises:
        ConfigError: if a factor is out of range, or there is no such score or attribute; before training.
    """

    def __init__(
        self,
        weights: dict[str, float],
        watch: str = "refined/fd",
        patience: PositiveInt = 2,
        threshold: NonNegativeFloat = 0.01,
        rate: Fraction = 0.5,
        actions: Mapping[str, Any] | None = None,
        least: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(weights)
        if least > 1:
            raise ConfigError("CFG-VALUE", f"adapt.least: {least} is above 1; nothing could be lowered")
        self.watch = watch
        self.patience = patience
        self.threshold = threshold
        self.step = rate
        self.actions = dict(_flat(actions or {}))
        self.least = least
        self.sign = 1
        self.best = math.inf  # of the signed score, which is to fall
        self.waited = 0
        self.acted = 0
        self.knobs: dict[str, Knob] = {}

    def weigh(self, terms: dict[str, Tensor], draft: Draft) -> dict[str, Tensor]:
        return self.fixed(terms)

    @property
    def rate(self) -> float:
        return self.lowered(self.step)

    def lowered(self, factor: float) -> float:
        """What is left of a quantity after all actions, as a share of its first value."""
        return max(factor**self.acted, self.least)

    def attach(self, system: nn.Module) -> None:
        knobs = _knobs(system)
        for path in self.actions:
            if path not in knobs:
                raise _unknown("adapt.actions", path, "number with a fraction", knobs)
        self.knobs = {path: knobs[path] for path in self.actions}

    def expect(self, higher_is_better: Mapping[str, bool]) -> None:
        if self.watch not in higher_is_better:
            raise _unknown("adapt.watch", self.watch, "score", higher_is_better)
        self.sign = -1 if higher_is_better[self.watch] else 1

    def observe(self, scores: Mapping[str, float]) -> None:
        score = self.sign * scores[self.watch]
        if not math.isfinite(self.best) or score < self.best - self.threshold * abs(self.best):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.waited == self.patience:
            self.acted, self.waited = self.acted + 1, 0
            self.apply_actions()

    def apply_actions(self) -> None:
        """Set every named attribute to what it is after all actions."""
        for path, knob in self.knobs.items():
            knob.turn(self.lowered(self.actions[path]))

    def status(self) -> dict[str, Tensor | float]:
        """``rate``, and how often it ``acted`` and for how many evaluations it has ``waited``."""
        return {"rate": self.rate, "acted": float(self.acted), "waited": float(self.waited)}

    def get_extra_state(self) -> dict[str, float | int]:
        return {"best": self.best, "waited": self.waited, "acted": self.acted}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.best, self.waited, self.acted = state["best"], state["waited"], state["acted"]
        self.apply_actions()


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Factors by dotted path."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and 0 <= value <= 1:
            yield f"{prefix}{key}", value
        else:
            what = f"{value!r} is not allowed; expected a number >= 0 and <= 1"
            raise ConfigError("CFG-VALUE", f"adapt.actions.{prefix}{key}: {what}")


def _knobs(system: nn.Module) -> dict[str, Knob]:
    """Public attributes of a module and of all below it that are real numbers, by path."""
    return {
        f"{place}.{name}" if place else name: Knob(module, name, value)
        for place, module in system.named_modules(remove_duplicate=False)
        for name, value in vars(module).items()
        if not name.startswith("_") and _is_real(value)
    }


def _is_real(value: object) -> bool:
    # Not an int, which may count something.
    if isinstance(value, Sequence) and not isinstance(value, str):
        return len(value) > 0 and all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def _unknown(key: str, name: str, what: str, names: Mapping[str, object]) -> ConfigError:
    near = "".join(get_close_matches(name, list(names), n=1, cutoff=0)) or "nothing"
    return ConfigError("CFG-VALUE", f"{key}: there is no {what} '{name}'; nearest: {near}")
