"""Control charts: has something shifted? Pure functions of numbers; a chart is a value that is moved on part by part.

`Cusum` finds a small lasting shift of a measured value soonest; `RateCusum` the same for a rate of bad parts; `runs`
are the rules of thumb that people know from paper charts (Western Electric).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qc.errors import InvalidInput

CLIP = 4.0
"""Deviations count as four standard deviations at most, so that no single odd part can raise an alarm."""


@dataclass(frozen=True, slots=True)
class Cusum:
    """A two-sided cumulative sum of standardised deviations: what exceeds the slack adds up, and never below zero.

    Source:
        Page 1954, "Continuous inspection schemes", Biometrika 41; run lengths by Siegmund's approximation (1985),
        `(exp(2 k b) - 2 k b - 1) / (2 k^2)` with `b = h + 1.166`. With the slack 0.6 and the limit 12 that is one false
        alarm in ten million independent normal values, in a hundred thousand if the mean was learnt wrong by 0.2
        standard deviations; a shift by one standard deviation is found after 30 values.
    """

    slack: float = 0.6
    """Half of the shift that matters, in standard deviations."""
    limit: float = 12.0
    up: float = 0.0
    down: float = 0.0
    up_run: int = 0
    """Values since `up` was last zero: when a shift upwards began."""
    down_run: int = 0

    def moved(self, deviation: float) -> Cusum:
        """After one more value, given in standard deviations from the mean; NaN changes nothing."""
        if math.isnan(deviation):
            return self
        step = min(max(deviation, -CLIP), CLIP)
        up, down = max(0.0, self.up + step - self.slack), max(0.0, self.down - step - self.slack)
        return replace(
            self,
            up=up,
            down=down,
            up_run=self.up_run + 1 if up else 0,
            down_run=self.down_run + 1 if down else 0,
        )

    @property
    def alarm(self) -> str:
        """`up`, `down`, or nothing."""
        return "up" if self.up >= self.limit else "down" if self.down >= self.limit else ""

    @property
    def since(self) -> int:
        """How many values ago the shift began by this chart; 0 without an alarm."""
        return {"up": self.up_run, "down": self.down_run, "": 0}[self.alarm]


@dataclass(frozen=True, slots=True)
class RateCusum:
    """A cumulative sum of log-likelihood ratios: has the rate of bad parts risen from `usual` to `raised`?

    Source:
        Reynolds and Stoumbos 1999, "A CUSUM chart for monitoring a proportion when inspecting continuously", J. Quality
        Technology 31. A false alarm comes once in more than `exp(limit)` parts (Lorden 1971): 9.6 is one in 14,000.
    """

    usual: float
    """Rate learnt while all was well, in (0, 1)."""
    raised: float
    """Rate worth an alarm, in (`usual`, 1); or in (0, `usual`) to notice that bad parts are no longer found."""
    limit: float = 9.6
    sum: float = 0.0
    run: int = 0
    """Parts since the sum was last zero."""

    def __post_init__(self) -> None:
        if not (0 < self.usual < 1 and 0 < self.raised < 1 and self.usual != self.raised):
            raise InvalidInput(f"rates must differ and lie between 0 and 1, not {self.usual} and {self.raised}")

    def moved(self, bad: bool) -> RateCusum:
        """After one more part."""
        step = math.log(self.raised / self.usual) if bad else math.log((1.0 - self.raised) / (1.0 - self.usual))
        total = max(0.0, self.sum + step)
        return replace(self, sum=total, run=self.run + 1 if total else 0)

    @property
    def alarm(self) -> bool:
        """Has it risen?"""
        return self.sum >= self.limit


@dataclass(frozen=True, slots=True)
class Proportion:
    """A p-chart: the share of bad parts of one group of parts after the other."""

    centre: float
    """The usual share, 0..1."""
    size: int
    """Parts of a group."""

    def deviation(self, bad: int) -> float:
        """A group's share in standard deviations from the usual one.

        Source: Montgomery, "Introduction to Statistical Quality Control", section 7.2; the variance of the binomial.
        """
        centre = min(max(self.centre, 0.5 / self.size), 1.0 - 0.5 / self.size)  # a rate of exactly 0 has no spread
        return (bad / self.size - centre) / math.sqrt(centre * (1.0 - centre) / self.size)

    def share(self, deviation: float) -> float:
        """The share that lies so many standard deviations from the usual one, in [0, 1]: the inverse of `deviation`."""
        centre = min(max(self.centre, 0.5 / self.size), 1.0 - 0.5 / self.size)
        return min(max(centre + deviation * math.sqrt(centre * (1.0 - centre) / self.size), 0.0), 1.0)


def runs(deviations: Sequence[float]) -> str:
    """The first Western Electric rule that the newest value breaks, in words; empty when none is.

    Args:
        deviations: in standard deviations from the centre, oldest first.

    Source: Western Electric, "Statistical Quality Control Handbook", 1956, p. 25-28. Together the four rules give a
    false alarm once in 92 values, so that they describe an alarm, and the charts above raise it.
    """
    for side, word in ((1.0, "above"), (-1.0, "below")):
        last = [side * value for value in deviations[-8:]]
        if last and last[-1] > 3.0:
            return f"one group more than 3 standard deviations {word} the usual"
        if len(last) >= 3 and last[-1] > 2.0 and sum(value > 2.0 for value in last[-3:]) >= 2:
            return f"two of three groups more than 2 standard deviations {word} the usual"
        if len(last) >= 5 and last[-1] > 1.0 and sum(value > 1.0 for value in last[-5:]) >= 4:
            return f"four of five groups more than 1 standard deviation {word} the usual"
        if len(last) == 8 and all(value > 0.0 for value in last):
            return f"eight groups in a row {word} the usual"
    return ""
