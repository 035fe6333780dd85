"""When each player learns, and at what share of its learning rate."""

import math

from stable_diffusion_lab.bounds import Fraction, NonNegativeInt, PositiveInt


class Schedule:
    """The refiner's head start and the learning rates, as pure functions of the batch number.

    The refiner learns first, so that drafts are compared with something that means something; then the
    generator joins, and the refiner goes on or stays as it is. A pure function needs no state, so it
    is the same on every rank and after every resumption.

    Args:
        steps: length of the schedule in batches; beyond it, rates stay at ``final_rate``.
        head_start: share of the run in which only the refiner learns.
        refiner_share: share of the run after which the refiner stays as it is; with 1 it never stops, even
            if the run is prolonged.
        warmup: batches over which a player's rate rises linearly when it begins.
        final_rate: share of the learning rate left at the end of the half cosine.
    """

    def __init__(
        self,
        steps: PositiveInt,
        head_start: Fraction = 0.5,
        refiner_share: Fraction = 0.5,
        warmup: NonNegativeInt = 100,
        final_rate: Fraction = 0.01,
    ) -> None:
        self.generator_start = round(head_start * steps)
        self.refiner_stop = round(refiner_share * steps)
        self.refiner_rests = refiner_share < 1
        self.steps = steps
        self.warmup = warmup
        self.final_rate = final_rate

    def window(self, player: str) -> tuple[int, int]:
        """First batch in which a player learns, and the first in which it no longer decays."""
        return (0, self.refiner_stop) if player == "refiner" else (self.generator_start, self.steps)

    def learns(self, player: str, step: int) -> bool:
        """Whether a player learns from this batch."""
        start, stop = self.window(player)
        return start <= step and (player != "refiner" or step < stop or not self.refiner_rests)

    def rate(self, player: str, step: int) -> float:
        """Share of the player's learning rate: linear warm-up, then half a cosine."""
        start, stop = self.window(player)
        progress = min(max(step - start, 0) / max(stop - start, 1), 1.0)
        cosine = self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
        return cosine * min(1.0, (step - start + 1) / (self.warmup + 1)) if step >= start else 0.0
