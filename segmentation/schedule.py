"""How far a run is, and what the learning rate is there: rise, stay, fall."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Seconds that go on: `time.monotonic`, or `time.process_time`, which waits while other work has the processor."""


def rate(share: float, *, warm_up: float, cool_down: float) -> float:
    """Learning rate as a share of its highest, at `share` of the run: rises linearly, stays, falls as half a cosine.

    Because it stays before it falls, a run without a fixed end can decide to end at any moment.
    """
    if share < warm_up:
        return max(share, 1e-3) / warm_up
    left = min(max((1.0 - share) / cool_down, 0.0), 1.0)
    return 0.5 - 0.5 * math.cos(math.pi * left)


@dataclass(slots=True)
class Budget:
    """When a run ends: after `steps`, when `seconds` are used up, or (neither) when validation stops improving.

    The last keeps the rate up until three looks at the validation parts in a row brought nothing, and then
    lets it fall over half as many steps as were made until then.
    """

    steps: int | None
    seconds: float | None
    """For steps only: what validation and saving need is already taken off."""
    warm_up: float
    cool_down: float
    used_before: float = 0.0
    """Seconds used before the run was interrupted."""
    falling_from: int | None = None
    """Open runs: the step at which the rate began to fall."""
    clock: Clock = time.monotonic
    started: float = field(init=False)

    PATIENCE = 3
    LONGEST = 6000
    """Open runs: the rate falls from here on at the latest."""

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def open_ended(self) -> bool:
        return self.steps is None and self.seconds is None

    def used(self) -> float:
        """Seconds spent, interruptions left out."""
        return self.used_before + self.clock() - self.started

    def share(self, step: int) -> float:
        """How far the run is at the start of step `step` (0 and up); 1 or more: it is over."""
        shares = []
        if self.steps is not None:
            shares.append(step / self.steps)
        if self.seconds is not None:
            shares.append(self.used() / self.seconds if self.seconds > 0 else 1.0)
        if shares:
            return max(shares)
        if self.falling_from is None:
            return min(step / 1000.0, self.warm_up)
        length = max(1, self.falling_from // 2)
        return 1.0 - self.cool_down + self.cool_down * (step - self.falling_from) / length

    def too_late(self, seconds: float) -> bool:
        """Would something that takes so many seconds end after the run's time?"""
        return self.seconds is not None and self.used() + seconds > self.seconds

    def rate(self, step: int) -> float:
        """Learning rate of step `step`, as a share of its highest."""
        return rate(self.share(step), warm_up=self.warm_up, cool_down=self.cool_down)

    def judge(self, step: int, scores: list[float]) -> None:
        """Open runs: after a look at the validation parts, is it time to let the rate fall?"""
        best = max(range(len(scores)), key=scores.__getitem__)
        if self.falling_from is None and (len(scores) - 1 - best >= self.PATIENCE or step >= self.LONGEST):
            self.falling_from = step
