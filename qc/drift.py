"""Have the verdicts of a station shifted, or the look of its parts? Charts and windows. Pure.

Charts on the rate of parts that are not ok, and on the score; windows on what the encoder sees (`Appearance`).


What is usual is learnt from the first parts that a model judged at a station; from then on every part moves the charts.
The score is compared by its rank among those parts, so that its odd distribution (most near 0, a few near 1) does not
matter.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

from qc.charts import Cusum, Proportion, RateCusum, runs
from qc.features import Vector
from qc.two_sample import Compared, began, compare

LEARN = 200
"""Parts from which the usual is learnt: a rate of 5 % is then known to within 1.5 %, for which the charts allow."""
GROUP = 50
"""Parts of one group of the p-chart, by which an alarm is described."""
SHOWN = 24
"""Groups that a wall screen shows: 1200 parts, a shift of a line with a part every 25 s."""
LIMIT = 11.0
"""Of the rate's charts: a false alarm once in more than exp(11) = 60,000 parts each."""
FACTOR = 2.0
"""A rate that has doubled, or halved, is worth an alarm."""
LEAST_RAISED = 0.02
"""Not below this rate: at a usual rate near 0, two bad parts in a row are no news yet."""

WINDOWS = (25, 100)
"""Parts of a window: the short one finds a sudden change within 50 parts, the long one a small one."""
FALSE_ONCE_IN = 20_000
"""Parts for one false alarm, on average and at most, of all windows of a station together: half of what is promised."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing that has shifted."""

    what: str
    """rate or score."""
    message: str
    parts: int
    """How many parts ago it began, by the chart."""


@dataclass(frozen=True, slots=True)
class Charts:
    """The charts of one station, product and model."""

    scores: tuple[float, ...] = ()
    """Of the parts learnt from; sorted once all are there."""
    bad: int = 0
    """Parts learnt from that were not ok."""
    learning: bool = True
    """Is the usual still being learnt?"""
    more: RateCusum | None = None
    """Are there more bad parts than usual? None where most are bad as it is."""
    fewer: RateCusum | None = None
    """Are there fewer: are defects no longer found? None where the usual rate is too small to tell."""
    score: Cusum = field(default_factory=Cusum)
    group: int = 0
    """Bad parts of the group that is being filled, of `filled`."""
    filled: int = 0
    deviations: tuple[float, ...] = ()
    """Of the last `SHOWN` groups, oldest first."""
    recent: tuple[bool, ...] = ()
    """The last `GROUP` parts: True where bad."""

    @property
    def usual(self) -> float:
        """The rate of bad parts learnt, 0..1."""
        return self.bad / max(len(self.scores), 1)

    def moved(self, bad: bool, score: float) -> Charts:
        """After one more part.

        Args:
            bad: it was not ok.
            score: its score, 0..1.
        """
        if self.learning:
            learnt = replace(self, scores=(*self.scores, score), bad=self.bad + bad)
            return learnt if len(learnt.scores) < LEARN else _learnt(learnt)
        moved = replace(
            self,
            more=self.more.moved(bad) if self.more else None,
            fewer=self.fewer.moved(bad) if self.fewer else None,
            score=self.score.moved(self._rank(score)),
            group=self.group + bad,
            filled=self.filled + 1,
            recent=(*self.recent, bad)[-GROUP:],
        )
        if moved.filled < GROUP:
            return moved
        deviation = Proportion(self.usual, GROUP).deviation(moved.group)
        return replace(moved, group=0, filled=0, deviations=(*self.deviations, deviation)[-SHOWN:])

    def begun(self) -> Charts:
        """The same usual, with charts that begin anew: somebody has seen to it."""
        return self if self.learning else _learnt(self)

    def shifts(self) -> list[Shift]:
        """What has shifted, in words and numbers."""
        found = []
        now = f"{sum(self.recent)} of the last {len(self.recent)} parts were not ok, usually {self.usual:.1%} are not"
        rule = runs(self.deviations)
        for chart, word in ((self.more, "more"), (self.fewer, "fewer")):
            if chart is not None and chart.alarm:
                told = f"{word} parts than usual are not ok: {now}" + (f" ({rule})" if rule else "")
                found.append(Shift("rate", told, chart.run))
        if self.score.alarm:
            word = "higher" if self.score.alarm == "up" else "lower"
            found.append(Shift("score", f"scores are {word} than usual", self.score.since))
        return found

    def _rank(self, score: float) -> float:
        """Where a score stands among those learnt, as a standard normal value; equal scores share the middle."""
        low, high = bisect.bisect_left(self.scores, score), bisect.bisect_right(self.scores, score)
        return _NORMAL.inv_cdf(((low + high) / 2.0 + 0.5) / (len(self.scores) + 1))


def _learnt(charts: Charts) -> Charts:
    number = len(charts.scores)
    rate = (charts.bad + 0.5) / (number + 1)
    unsure = math.sqrt(rate * (1.0 - rate) / number)
    upper, lower = rate + unsure, rate - unsure
    raised = max(FACTOR * upper, upper + LEAST_RAISED)
    more = RateCusum(usual=upper, raised=raised, limit=LIMIT) if raised < 1.0 else None
    fewer = RateCusum(usual=lower, raised=lower / FACTOR, limit=LIMIT) if lower >= 2.0 * LEAST_RAISED else None
    return replace(
        charts,
        scores=tuple(sorted(charts.scores)),
        learning=False,
        more=more,
        fewer=fewer,
        score=Cusum(),
        group=0,
        filled=0,
        deviations=(),
        recent=(),
    )


@dataclass(frozen=True, slots=True)
class Appearance:
    """What the encoder saw of a station's parts: the usual, and windows that are compared with it.

    Each window is tested once, when it is full, by a permutation test (`qc.two_sample`) at the level that spends its
    part of the budget: `size / (len(WINDOWS) * FALSE_ONCE_IN)`. Expected false alarms add up whatever the tests have
    in common, so that in any number of parts, looked at as long as one likes, no more than one in `FALSE_ONCE_IN` is
    expected. (A level that shrinks with every look would promise fewer in all eternity, and find nothing after a week.)
    """

    usual: tuple[Vector, ...] = ()
    """The first `LEARN` parts."""
    recent: tuple[Vector, ...] = ()
    """The last parts since, at most the longest window and the one before it."""
    seen: int = 0
    """Parts since the usual was learnt."""
    shifted: Shift | None = None
    """Found at the last part, or None."""

    def moved(self, vector: Vector) -> Appearance:
        """After one more part."""
        if len(self.usual) < LEARN:
            return replace(self, usual=(*self.usual, vector))
        seen, recent = self.seen + 1, (*self.recent, vector)[-2 * max(WINDOWS) :]
        shifted = None
        for size in WINDOWS:
            if seen % size == 0 and shifted is None:
                shifted = self._shift(recent, size, seen)
        return replace(self, seen=seen, recent=recent, shifted=shifted)

    def begun(self) -> Appearance:
        """The same usual, with windows that begin anew: somebody has seen to it."""
        return replace(self, recent=(), seen=0, shifted=None)

    def _shift(self, recent: tuple[Vector, ...], size: int, seen: int) -> Shift | None:
        usual = np.asarray(self.usual, np.float64)
        told: Compared = compare(usual, np.asarray(recent[-size:], np.float64), permutations=needed(size), seed=seen)
        if told.p > level(size):
            return None
        rows = np.asarray(recent, np.float64)
        parts = len(rows) - began(usual, rows)
        words = f"parts look unlike before: energy distance {told.distance:.2f}, p = {told.p:.1g} over {size} parts"
        return Shift("appearance", words, parts)


def level(size: int) -> float:
    """The level of a window's test: its part of the budget of false alarms."""
    return size / (len(WINDOWS) * FALSE_ONCE_IN)


def needed(size: int) -> int:
    """Permutations for that level, with some to spare."""
    return math.ceil(3.0 / level(size))


def unlike(usual: Sequence[Vector], seen: Sequence[Vector]) -> list[float]:
    """How unlike the usual each one is, and unlike those stranger than it: the largest are worth a look first.

    Numbers are divided by their spread over the usual. The strangest gets its distance to the nearest of the usual;
    then each in turn its distance to the nearest of the usual and of those taken before it (farthest-first), so that
    of ten alike only one stands at the top.
    """
    known, rows = np.asarray(usual, np.float64), np.asarray(seen, np.float64)
    spread = known.std(axis=0) + 1e-6
    known, rows = known / spread, rows / spread
    near = np.array([float(np.linalg.norm(known - row, axis=1).min()) for row in rows])
    found, left = np.zeros(len(rows)), np.ones(len(rows), bool)
    for _ in range(len(rows)):
        place = int(np.where(left, near, -1.0).argmax())
        found[place], left[place] = near[place], False
        near = np.minimum(near, np.linalg.norm(rows - rows[place], axis=1))
    return [float(v) for v in found]
