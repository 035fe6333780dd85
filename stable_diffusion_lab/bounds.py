"""Number types with a range, for the signatures of everything a config can build.

The annotation is documentation for the reader, and the config check reads it from the source
(without importing the module), so that ``batch_size=-3`` is refused before torch is loaded.
"""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeVar

T = TypeVar("T")


class Bounds(NamedTuple):
    """An interval of allowed values; an open end excludes its bound."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        above = f"{'>' if self.low_open else '>='} {self.low:g}" if self.low > -math.inf else ""
        below = f"{'<' if self.high_open else '<='} {self.high:g}" if self.high < math.inf else ""
        return " and ".join(part for part in (above, below) if part) or "finite"


Some = Annotated[Sequence[T], "not empty"]
PositiveInt = Annotated[int, Bounds(low=1)]
NonNegativeInt = Annotated[int, Bounds(low=0)]
Seed = Annotated[int, Bounds(low=0, high=2**32 - 1)]
PositiveFloat = Annotated[float, Bounds(low=0, low_open=True)]
NonNegativeFloat = Annotated[float, Bounds(low=0)]
Fraction = Annotated[float, Bounds(low=0, high=1)]
Decay = Annotated[float, Bounds(low=0, high=1, high_open=True)]
