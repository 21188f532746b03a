"""The state space's parameters, and a history in their units; `em.py` and `climb.py` fit the one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from process_opt.habit_sums import FEWEST_VALUES, first_habits
from process_opt.history import History
from process_opt.layout import Layout
from process_opt.process import Process, Setting
from process_opt.rounding import gauge_with
from process_opt.smoother import Line, Path, Records, smooth
from process_opt.state_space import Habit, Motion, Term

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK = 1000
"""Parts smoothed at once: few enough for the arrays to stay in the processor's cache."""
SHARES = 16
"""At most so many shares has a history: their sums, of weights squared numbers each, travel between machines."""
LEFT_OVER = 0.15
"""Standard deviation, at first, of a weight that a formula leaves over; the hierarchy learns it anew."""
UNREAD = 0.05
"""Standard deviation of what a step adds, on average, to a characteristic that a formula uses, where it is not read
(and, at first, by chance): a formula cannot tell its constants from a characteristic that nobody has seen."""
PINNED = 1e8
"""Prior precision of weights that stay 0."""
SMALLEST_NOISE = 1e-5
"""Variance, standardised: a step's chance is never taken for less than 0.3 % of the spread of the parts."""


CHANCE_PARTS, USUAL_CHANCE = 4, 0.02
SWITCH = 0.1
"""Share of the parts on which a setting must stand between its limits, or it is a switch."""
GAUGE_PARTS, USUAL_GAUGE = 2, 0.05
"""Before any part was seen, a step's chance and a gauge's error count as seen on so many parts, with such variances."""


@dataclass(frozen=True)
class Data:
    """A history standardised, `N` last."""

    y: Floats
    """`M x N` readings."""
    v: Floats
    """`S x N` settings."""
    people: Bools
    """`N`: people chose the settings, seeing the part (or nobody knows)."""
    last: NDArray[np.int64]
    skipped: tuple[Bools | None, ...]
    batch: NDArray[np.int64]
    pressed: NDArray[np.int8]
    """`S x N`: -1 and 1 where people set a machine to its lower or upper limit, and may have wanted to go further."""
    machine: NDArray[np.int64]
    """`K x N`, as in `History`."""

    @property
    def size(self) -> int:
        """How many parts."""
        return int(self.last.size)

    def rows(self, places: NDArray[np.int64]) -> Data:
        """Some of the parts."""
        return Data(
            y=self.y[:, places],
            v=self.v[:, places],
            people=self.people[places],
            last=self.last[places],
            skipped=tuple(None if s is None else s[places] for s in self.skipped),
            batch=self.batch[places],
            pressed=self.pressed[:, places],
            machine=self.machine[:, places],
        )

    def chunks(self) -> Iterator[Data]:
        """A few at a time."""
        return self._pieces(CHUNK)

    def shares(self) -> Iterator[Data]:
        """Some chunks at a time: as they are summed by themselves, wherever that is (`hands.py`)."""
        return self._pieces(CHUNK * max(1, -(-self.size // (CHUNK * SHARES))))

    def _pieces(self, most: int) -> Iterator[Data]:
        for first in range(0, self.size, most):
            yield self.rows(np.arange(first, min(first + most, self.size)))


def prepare(process: Process, history: History, layout: Layout) -> Data:
    """A history in the model's units."""
    y, v = layout.readings(history.readings).T.copy(), layout.settings(history.settings).T.copy()
    skipped: list[Bools | None] = []
    for k, step in enumerate(process.steps):
        if not step.optional:
            skipped.append(None)
            continue
        marks = [v[list(layout.levers[k])]] if layout.levers[k] else [y[[p for p, _ in layout.reads[k]]]]
        skipped.append(np.asarray(~np.isfinite(np.vstack(marks)).any(axis=0), dtype=bool))
    people = ~history.dithered
    pressed = _pressed(history.settings.T, list(process.settings.values()), people)
    return Data(y, v, people, history.last, tuple(skipped), history.batch, pressed, history.machine)


def _pressed(settings: Floats, levers: list[tuple[int, Setting]], people: Bools) -> NDArray[np.int8]:
    """As in `Data`. A setting that hardly ever stands between its limits is a switch, and its limits are its values."""
    out = np.zeros(settings.shape, dtype=np.int8)
    for values, (_, lever), row in zip(settings, levers, out, strict=True):
        near = 1e-6 * (lever.high - lever.low)
        low, high = people & (values <= lever.low + near), people & (values >= lever.high - near)
        chosen = int((people & np.isfinite(values)).sum())
        if chosen - int((low | high).sum()) >= max(SWITCH * chosen, FEWEST_VALUES):
            row[low], row[high] = -1, 1
    return out


@dataclass(frozen=True)
class Estimate:
    """Parameters of the state space."""

    process: Process
    layout: Layout
    motions: tuple[Motion, ...]
    gauge: Floats
    """`M`, variance of each reading's error."""
    gauge_known: Bools
    start: tuple[Floats, Floats]
    habits: dict[int, Habit]
    penalty: tuple[Floats, ...]
    """For each step `d x F`: prior precision of each weight around doing nothing."""
    unlogged: bool = True
    """People saw readings that are not on record; else none were taken there."""
    machines: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """`M x T x d`: what machine `m` of a step adds to the average of its machines (`machines.py`); empty: nothing."""

    def added(self, data: Data, k: int) -> Floats | float:
        """`d x N`: what the machines of step `k` that ran these parts added to them."""
        if not self.machines.size or not self.machines[:, k].any():
            return 0.0
        for row, (step, _) in zip(data.machine, self.process.machines.values(), strict=True):
            if step == k:
                return np.asarray(np.where(row >= 0, self.machines[row, k].T, 0.0))
        return 0.0

    def left_over(self, data: Data, k: int, x0: Floats, x1: Floats) -> Floats:
        """`d x N`: what step `k` did beyond its settings and its machine, where the state was `x0` before and `x1`
        after it."""
        return np.asarray(x1 - self.motions[k].move(settings_at(self, data, k), x0) - self.added(data, k))

    def prior_mean(self, k: int) -> Floats:
        """`d x F`: a step that does nothing, or just what its formula says."""
        out = np.zeros_like(self.motions[k].weights)
        d = self.layout.d
        out[:, 1 : d + 1] = np.eye(d)
        if (law := self.motions[k].law) is not None:
            out[law.rows] = 0.0
        return out

    def split(self, flat: Floats) -> list[Floats]:
        """A vector of all weights (`P x n`) as `d x F x n` for each step."""
        out: list[Floats] = []
        at = 0
        for motion in self.motions:
            d, f = motion.weights.shape
            out.append(flat[at : at + d * f].reshape(d, f, -1))
            at += d * f
        return out

    def flat(self) -> Floats:
        """All weights as one vector."""
        return np.concatenate([m.weights.ravel() for m in self.motions])

    def with_weights(self, flat: Floats) -> Estimate:
        """The same with other weights."""
        parts = self.split(flat[:, None])
        return replace(
            self, motions=tuple(replace(m, weights=w[:, :, 0]) for m, w in zip(self.motions, parts, strict=True))
        )

    def with_chance(self, log_factors: Floats) -> Estimate:
        """The same with every step's variances multiplied by `exp(log_factors)`, `d` for each step in one vector."""
        d = self.layout.d
        root = np.exp(log_factors.reshape(len(self.motions), d) / 2)
        return replace(
            self,
            motions=tuple(
                replace(m, noise=m.noise * r[:, None] * r[None, :]) for m, r in zip(self.motions, root, strict=True)
            ),
        )

    def with_spread(self, factor: float) -> Estimate:
        """The same with every variance that was learnt multiplied by `factor`."""
        return replace(
            self,
            motions=tuple(replace(m, noise=m.noise * factor) for m in self.motions),
            gauge=np.where(self.gauge_known, self.gauge, self.gauge * factor),
            start=(self.start[0], self.start[1] * factor),
        )

    def with_penalty(self, penalty: tuple[Floats, ...]) -> Estimate:
        """The same under another prior."""
        return replace(self, penalty=penalty)

    def chance_prior(self) -> tuple[float, Floats]:
        """The log prior of all chances and learnt gauges, and its slope for the `log_factors` of `with_chance`."""
        height, slopes = 0.0, []
        for m in self.motions:
            inverse = USUAL_CHANCE * np.diag(np.linalg.inv(m.noise))
            height -= CHANCE_PARTS / 2 * (float(np.linalg.slogdet(m.noise)[1]) + float(inverse.sum()))
            slopes.append(CHANCE_PARTS / 2 * (inverse - 1.0))
        gauge = self.gauge[~self.gauge_known]
        height -= GAUGE_PARTS / 2 * float((np.log(gauge) + USUAL_GAUGE / gauge).sum())
        return height, np.concatenate(slopes)

    def with_terms(self, extra: list[tuple[Term, ...]]) -> Estimate:
        """The same with further terms, not yet doing anything."""
        motions, penalty = [], []
        for k, (motion, pen) in enumerate(zip(self.motions, self.penalty, strict=True)):
            more = len(extra[k])
            motions.append(
                replace(
                    motion,
                    terms=motion.terms + extra[k],
                    weights=np.hstack([motion.weights, np.zeros((self.layout.d, more))]),
                )
            )
            penalty.append(np.hstack([pen, np.full((self.layout.d, more), 1 / 0.1**2)]))
        return replace(self, motions=tuple(motions), penalty=tuple(penalty))

    def with_late(self, extra: list[tuple[int, ...]], data: Data) -> Estimate:
        """The same with settings of earlier steps that may act at each step too, not yet doing anything."""
        terms: list[tuple[Term, ...]] = []
        motions = []
        for motion, places in zip(self.motions, extra, strict=True):
            terms.append(tuple(((len(motion.unknown) + j,), -1) for j in range(len(places))))
            spread = np.array([np.nanvar(data.v[place]) for place in places])
            motions.append(
                replace(motion, late=(*motion.late, *places), unknown=np.concatenate([motion.unknown, spread]))
            )
        return replace(self, motions=tuple(motions)).with_terms(terms)

    def path(self, data: Data, offsets: Floats | None = None) -> Path:
        """The parts' smoothed ways.

        Args:
            offsets: `T x d x N`, known shifts beyond those of the machines.
        """
        if self.machines.any():
            made = np.zeros((len(self.motions), self.layout.d, data.size))
            for k in range(len(made)):
                made[k] += self.added(data, k)
            offsets = made if offsets is None else made + offsets
        layout, bounds = self.layout, self.layout.bounds(data.y)
        return smooth(
            Line(self.motions, layout.reads, layout.levers, self.gauge, self.start, self.habits, self.unlogged),
            Records(data.y, data.v, data.people, data.skipped, offsets, bounds, data.pressed),
        )


def start_estimate(process: Process, layout: Layout, data: Data) -> Estimate:
    """Nothing happens at any step but chance; where EM begins."""
    d = layout.d
    motions, penalty = [], []
    physics = layout.laws(process)
    needed = {n.place for law in physics if law is not None for n in law.names if n.kind == "x"}
    for k in range(len(process.steps)):
        levers, law = layout.levers[k], physics[k]
        terms: list[Term] = [((), -1), *(((), c) for c in range(d)), *(((j,), -1) for j in range(len(levers)))]
        terms += [((), -2 - j) for j in range(len(law.owners) if law is not None else 0)]
        weights = np.zeros((d, len(terms)))
        weights[:, 1 : d + 1] = np.eye(d)
        if law is not None:
            weights[law.rows] = 0.0
        unknown = np.array([np.nanvar(data.v[j]) if np.isfinite(data.v[j]).sum() > 2 else 1.0 for j in levers])
        unread = sorted(needed - {c for _, c in layout.reads[k]})
        chance = np.full(d, 0.05)
        chance[unread] = UNREAD**2
        motion = Motion(tuple(terms), weights, np.diag(chance), unknown, law)
        motions.append(motion)
        prior = np.full((d, len(terms)), 1 / 0.5**2)
        prior[:, 0] = 1.0
        prior[:, 1 : d + 1] = 1 / 0.2**2
        if law is not None:
            prior[law.rows, 1:] = 1 / LEFT_OVER**2
            prior[:, motion.columns] = np.where(motion.pinned[:, motion.columns], PINNED, 1.0)
        prior[unread, 0] = 1 / UNREAD**2
        penalty.append(prior)
    known = [m.gauge_sd is not None for _, m in process.measurements.values()]
    gauge = np.array(
        [
            gauge_with(m.gauge_sd**2, layout.step(i)) / layout.scale[layout.coordinate[i]] ** 2
            if m.gauge_sd is not None
            else 0.05
            for i, (_, m) in enumerate(process.measurements.values())
        ]
    )
    return Estimate(
        process=process,
        layout=layout,
        motions=tuple(motions),
        gauge=np.maximum(gauge, 1e-6),
        gauge_known=np.array(known, dtype=bool),
        start=(np.zeros(d), 0.5 * np.eye(d)),
        habits=first_habits(layout, data),
        penalty=tuple(penalty),
    )


def log_likelihood(estimate: Estimate, data: Data) -> float:
    """Of readings and settings that people chose, in nats."""
    return sum(estimate.path(part).log_likelihood for part in data.chunks())


def features(motion: Motion, v: Floats, x: Floats) -> tuple[Floats, Floats]:
    """What the weights multiply at states `x` (`F x N`), and how it changes with the state (`F x d x N`).

    For the unknown constants of a formula it is the formula's slope, which is for one characteristic each.
    """
    g = motion.design(v)
    phi = g * np.stack([x[c] if c >= 0 else np.ones(x.shape[1]) for _, c in motion.terms])
    by_state = np.zeros((len(g), *x.shape))
    for f, (_, c) in enumerate(motion.terms):
        if c >= 0:
            by_state[f, c] = g[f]
    if motion.columns:
        local = motion.local(x, v, constants=True)
        phi[motion.columns], by_state[motion.columns] = local.by_constant, local.mixed
    return phi, by_state


def settings_at(estimate: Estimate, data: Data, k: int) -> Floats:
    """`p x N`: the settings that act at step `k`, nominal where not recorded."""
    v = data.v[estimate.motions[k].acting(estimate.layout.levers[k])]
    return np.where(np.isfinite(v), v, 0.0)


def usable(estimate: Estimate, data: Data, k: int) -> Floats:
    """`N`: 1 where step `k` was run on the part and its settings are known."""
    use: Bools = data.last >= k
    if (skipped := data.skipped[k]) is not None:
        use = use & ~skipped
    for j in estimate.motions[k].acting(estimate.layout.levers[k]):
        use = use & np.isfinite(data.v[j])
    return use.astype(float)
