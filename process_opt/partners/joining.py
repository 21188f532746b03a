"""Interfaces of all partners, one step up and one step down, become one process model that is used like any other.

Every visit's steps keep their numbers; only the scales are made the same. At a border

- what is read there ties the two sides: both mean the same reading, in the same unit;
- what is not read there, but known upstream, is carried on. Downstream cannot tell a large state that acts little from
  a small one that acts much, so it is made as large there as parts come in; how exactly is not known, and every draw
  has its own opinion of it. What goes beyond what upstream can say is added as chance;
- what upstream never reads comes in as downstream sees it come in, as far as it goes with what is read. What upstream's
  settings do to it nobody has seen: they get effects of either sign, as large as settings there usually have.

So a plan that would need what nobody has seen is less sure, and its interval wider; it is never falsely sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.fit import draw_weights
from process_opt.knowledge import banded
from process_opt.layout import NO_ROUNDING, Layout, kinds_of, reads_of
from process_opt.model import ProcessModel
from process_opt.partners.interface import Interface, VisitInterface
from process_opt.partners.matching import matched
from process_opt.partners.visit import Visit, visits
from process_opt.process import Process
from process_opt.state_space import Motion, Term
from qc.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STILL = 1e-5
"""Variance of the chance that a step adds to what its partner does not read."""
FIXED = 1e-8
"""Variance of weights that are 0 or 1 by construction."""
FAR = 3.0
"""By so much at most what both sides say of the spread of something unread is made the same."""
BORDERS = 0.1
"""Standard deviation of the logarithm of the factor by which errors add up otherwise than foretold over borders that
nobody could check; also where nothing was checked at all."""
ALIKE_SIDES = 0.1
"""Relative standard deviation of that factor: upstream's spread there is extrapolated from its last reading."""
LITTLE = 0.02
"""Share of its variance as it comes in, beyond what upstream foretells, from which on the report mentions it."""


def join(process: Process, interfaces: Sequence[Interface], *, seed: int = 0) -> ProcessModel:
    """A process model from the interfaces of all its partners.

    Raises:
        InvalidInput: a partner is missing or there twice, or an interface was made for another version of the process.
    """
    way = visits(process)
    of = matched(process, interfaces)
    mine: dict[str, int] = {}
    stops = []
    for visit in way:
        number = mine.get(visit.partner, 0)
        mine[visit.partner] = number + 1
        stops.append(of[visit.partner].visits[number])
    layout = _layout(process, way, stops)
    physics = layout.laws(process)
    joined = _Joined(layout.d)
    for i, (visit, stop) in enumerate(zip(way, stops, strict=True)):
        there = np.array([layout.coordinates.index(c) for c in stop.characteristics], dtype=np.int64)
        if i:
            written = [] if (law := physics[visit.first - 1]) is None else law.rows
            joined.cross(process, layout, visit, stops[i - 1], stop, there, written, of[visit.partner].parts)
        else:
            joined.begin(layout, stop, there)
        joined.add(process, layout, visit, stop, there)
    blocks = [(cov + cov.T) / 2 for cov in joined.covariances]
    motions = tuple(
        Motion(terms, w, (q + q.T) / 2, unknown, law, late)
        for (terms, w, q, unknown, late), law in zip(joined.steps, physics, strict=True)
    )
    rng = np.random.default_rng(seed)
    drawn = np.vstack([draw_weights(np.concatenate(m), c, rng) for m, c in zip(joined.means(way), blocks, strict=True)])
    draws, at = [], 0
    for m in motions:
        mine_ = drawn[at : at + m.weights.size].reshape(*m.weights.shape, -1)
        draws.append(mine_.astype(np.float32).astype(np.float64))
        at += m.weights.size
    model = ProcessModel(
        process=process,
        layout=layout,
        motions=motions,
        draws=tuple(draws),
        gauge=_gauge(process, layout, way, stops),
        start=joined.start,
        identified={n: known for s in stops for n, known in s.identified.items()},
        check=_check(process, stops),
        about={
            "parts": min(one.parts for one in interfaces),
            "scrapped": sum(one.scrapped for one in interfaces),
            "dithered": min(one.dithered for one in interfaces),
            "notes": [f"{one.partner}: {note}" for one in interfaces for note in one.notes] + joined.notes,
            "capability": {},
            "seed": seed,
            "partners": {one.partner: one.hash for one in interfaces},
        },
    )
    sizes = [m.weights.size for m in motions]
    model = model.with_machines(*joined.machines(process))
    return model.with_band(banded(_precision(blocks), sizes), min(one.parts for one in interfaces))


def _layout(process: Process, way: Sequence[Visit], stops: Sequence[VisitInterface]) -> Layout:
    names = list(dict.fromkeys(n.split(".", 1)[1] for n in process.measurements))
    scale: dict[str, float] = {}
    mean: dict[str, float] = {}
    for stop in stops:
        for c, s in zip(stop.characteristics, stop.scale.tolist(), strict=True):
            scale.setdefault(c, s)
        own = {s.name for s in stop.steps}
        told = {n: m for n, m in stop.means.items() if n.split(".", 1)[0] in own or n.split(".", 1)[1] in stop.told}
        mean |= told  # of a border's reading, the one that takes the part in says where zero is
    levers = {name: i for i, name in enumerate(process.settings)}
    place = np.array([names.index(n.split(".", 1)[1]) for n in process.measurements], dtype=np.int64)
    stretch = {n: s for stop in stops for n, s in stop.stretch.items()}
    if lacking := [n for n in process.conformance if n not in mean] + [n for n in levers if n not in stretch]:
        raise InvalidInput(f"no interface says anything of {lacking[0]}; let its partner fit again")
    rounding = {n: told for stop in stops for n, told in stop.rounding.items()}
    means = np.array([mean.get(n, np.nan) for n in process.measurements])  # what its partner never read is not told
    return Layout(
        coordinates=tuple(names),
        reads=reads_of(process, place, means),
        levers=tuple(tuple(levers[x.name] for x in s.settings) for s in process.steps),
        mean=means,
        scale=np.array([scale[n] for n in names]),
        nominal=np.array([s.nominal for _, s in process.settings.values()]),
        stretch=np.array([stretch[n] for n in process.settings]),
        coordinate=place,
        kinds=kinds_of(process),
        rounding=np.array([rounding.get(n, (0.0, 0.0)) for n in process.measurements]) if rounding else NO_ROUNDING,
    )


def _gauge(process: Process, layout: Layout, way: Sequence[Visit], stops: Sequence[VisitInterface]) -> Floats:
    sd = {n: g for stop in stops for n, g in stop.gauge.items()}
    return np.array(
        [
            max((sd.get(n, 0.0) / layout.scale[layout.coordinate[i]]) ** 2, 1e-6)
            for i, n in enumerate(process.measurements)
        ]
    )


def _check(process: Process, stops: Sequence[VisitInterface]) -> dict[str, Any]:
    """The last visits' own check; how far errors add up over borders nobody could check, so it is less sure."""
    widen, sd = [], []
    found: Mapping[str, Any] = {}
    for name in process.conformance:
        mine = next((s.check for s in stops if name in s.check.get("readings", [])), None)
        place = mine["readings"].index(name) if mine else 0
        widen.append(float(mine["widen"][place]) if mine else 1.0)
        alone = float(mine["widen_sd"][place]) if mine else BORDERS
        sd.append(float(np.hypot(alone, BORDERS)) if len(stops) > 1 else alone)
        found = mine or found
    return {
        "parts": int(found.get("parts", 0)),
        "dithered": bool(found.get("dithered", False)),
        "widen": widen,
        "widen_sd": sd,
        "coverage90": dict(found.get("coverage90", {"as_fitted": None, "widened": None})),
    }


def _precision(blocks: Sequence[Floats]) -> Floats:
    size = sum(len(b) for b in blocks)
    out: Floats = np.zeros((size, size))
    at = 0
    for block in blocks:
        inverse = np.linalg.inv(block)
        out[at : at + len(block), at : at + len(block)] = (inverse + inverse.T) / 2
        at += len(block)
    return out


@dataclass
class _Joined:
    """What has been put together so far."""

    d: int

    def __post_init__(self) -> None:
        self.steps: list[tuple[tuple[Term, ...], Floats, Floats, Floats, tuple[int, ...]]] = []
        """Of each: terms, weights, chance, variance of its settings, and places of those that come late."""
        self.made: list[dict[str, tuple[Floats, Floats]]] = []
        """Of each, what its machines do, as in `StepInterface`."""
        self.covariances: list[Floats] = []
        """Of the weights, for each visit."""
        self.notes: list[str] = []
        self.known: NDArray[np.bool_] = np.zeros(self.d, dtype=bool)
        """`d`: has anybody up to here read it?"""
        self.mean: Floats = np.zeros(self.d)
        self.cov: Floats = np.zeros((self.d, self.d))
        """Of parts as they usually are after what stands."""
        self.start: tuple[Floats, Floats] = (self.mean, self.cov)
        self.entered: Floats = np.zeros(self.d)
        """Mean of parts as they came to the visit added last."""

    def means(self, way: Sequence[Visit]) -> list[list[Floats]]:
        """All weights as vectors, by visit."""
        return [[self.steps[k][1].ravel() for k in visit.places] for visit in way]

    def machines(self, process: Process) -> tuple[Floats, Floats]:
        """What they add and how much surer a part is for it, as in a model; empty where no partner tells of any."""
        if not any(self.made):
            return np.zeros((0, 0, 0)), np.zeros((0, 0, 0))
        many = max(len(names) for _, names in process.machines.values())
        adds, surer = (np.zeros((many, len(self.made), self.d)) for _ in range(2))
        for k, told in enumerate(self.made):
            for name, (more, less) in told.items():
                if name not in process.steps[k].machines:
                    raise InvalidInput(
                        f"an interface tells of a machine {name!r:.80} that {process.steps[k].name} has not"
                    )
                m = process.steps[k].machines.index(name)
                adds[m, k], surer[m, k] = more, less
        return adds, surer

    def begin(self, layout: Layout, stop: VisitInterface, there: Ints) -> None:
        """Parts as they come to the first partner."""
        ratio = stop.scale / layout.scale[there]
        mean, cov = np.zeros(self.d), 1e-6 * np.eye(self.d)
        mean[there] = stop.entry[0] * ratio
        cov[np.ix_(there, there)] = stop.entry[1] * np.outer(ratio, ratio)
        self.start = (mean, cov)
        self.entered = mean

    def add(self, process: Process, layout: Layout, visit: Visit, stop: VisitInterface, there: Ints) -> None:
        """A visit's steps."""
        settings = list(process.settings)
        d, local = self.d, stop.d
        ratio = stop.scale / layout.scale[there]
        unread = np.setdiff1d(np.arange(d), there)
        sizes = [d * (1 + d + len(s.terms) - 1 - local) for s in stop.steps]
        turn = np.zeros((sum(sizes), len(stop.root)))
        extra = np.full(sum(sizes), FIXED)
        at, local_at = 0, 0
        for k, step in zip(visit.places, stop.steps, strict=True):
            first: list[Term] = [((), -1), *(((), c) for c in range(d))]
            rest = [(p, int(there[c]) if c >= 0 else c) for p, c in step.terms[1 + local :]]
            column = np.concatenate([[0], 1 + there, np.arange(1 + d, 1 + d + len(rest))])
            f = 1 + d + len(rest)
            w, noise = np.zeros((d, f)), np.diag(np.full(d, STILL))
            w[unread, 1 + unread] = 1.0
            noise[np.ix_(there, there)] = step.noise * np.outer(ratio, ratio)
            by = np.array([1 / ratio[c] if c >= 0 else 1.0 for _, c in step.terms])
            factor = np.where([c <= -2 for _, c in step.terms], 1.0, ratio[:, None] * by)  # constants have no scale
            w[np.ix_(there, column)] = step.weights * factor
            places = (at + there[:, None] * f + column[None, :]).ravel()
            turn[places, local_at + np.arange(step.weights.size)] = factor.ravel()
            levers = 1 + d + np.arange(len(layout.levers[k]))
            extra[(at + unread[:, None] * f + levers[None, :]).ravel()] = stop.lever_size**2
            at, local_at = at + d * f, local_at + step.weights.size
            late = tuple(settings.index(name) for name in step.late)
            self.steps.append((tuple([*first, *rest]), w, noise, step.unknown, late))
            made: dict[str, tuple[Floats, Floats]] = {name: (np.zeros(d), np.zeros(d)) for name in step.machines}
            for name, (adds, surer) in step.machines.items():
                made[name][0][there], made[name][1][there] = adds * ratio, surer * ratio**2
            self.made.append(made)
        whole = turn @ stop.root
        self.covariances.append(whole @ whole.T + np.diag(extra))
        self.known[there] = True
        self.mean[there] = stop.exit[0] * ratio
        self.cov[np.ix_(there, unread)] = 0.0
        self.cov[np.ix_(unread, there)] = 0.0
        self.cov[np.ix_(there, there)] = stop.exit[1] * np.outer(ratio, ratio)

    def cross(
        self,
        process: Process,
        layout: Layout,
        visit: Visit,
        left: VisitInterface,
        stop: VisitInterface,
        there: Ints,
        written: list[int],
        parts: int,
    ) -> None:
        """The border before `visit`, as part of what the last step does: from upstream's state to what comes in.

        Args:
            left: the visit before it.
            there: the coordinates of its characteristics.
            written: coordinates that the last step's formula writes.
        """
        d = self.d
        ratio = stop.scale / layout.scale[there]
        mean, cov = stop.entry[0] * ratio, stop.entry[1] * np.outer(ratio, ratio)
        border = process.steps[visit.first - 1].name
        on = [i for i, c in enumerate(stop.characteristics) if c in stop.told and there[i] not in written]
        hidden = [i for i, c in enumerate(stop.characteristics) if c not in stop.told]
        told = there[[i for i, c in enumerate(stop.characteristics) if c in stop.told]]
        through, shift, gap = np.eye(d), np.zeros(d), np.zeros((d, d))
        for c in stop.told:  # the same reading, from where each side counts it
            i = layout.coordinates.index(c)
            if i not in written:
                name = f"{border}.{c}"
                if name not in left.means:
                    raise InvalidInput(
                        f"{name} is read where the part comes in at {visit.partner}, but never on record at the "
                        f"partner that takes it; let that partner fit again with it"
                    )
                place = list(process.measurements).index(name)
                shift[i] = (left.means[name] - layout.mean[place]) / layout.scale[i]
        if hidden:
            pull = _regression(cov, hidden, on)
            for row, i in enumerate(hidden):
                to = int(there[i])
                if self.known[to]:
                    through[to, to] = np.clip(np.sqrt(cov[i, i] / max(self.cov[to, to], STILL)), 1 / FAR, FAR)
                    shift[to] = mean[i] - through[to, to] * self.mean[to]
                else:
                    through[to, there[on]] = pull[row]
                    shift[to] = mean[i] - pull[row] @ mean[on]
            before = through @ self.cov @ through.T
            lack = _left_over(cov, hidden, on) - _left_over(before[np.ix_(there, there)], hidden, on)
            values, vectors = np.linalg.eigh((lack + lack.T) / 2)
            lack = (vectors * np.maximum(values, 0.0)) @ vectors.T
            gap[np.ix_(there[hidden], there[hidden])] = lack
            self._tell(process, visit, stop, hidden, there, np.diag(lack) / np.diag(cov)[hidden])
        self._meet(process, layout, visit, left, [int(there[i]) for i in hidden if self.known[there[i]]])
        self.entered = self.mean.copy()
        self.entered[there] = mean
        terms, w, noise, unknown, late = self.steps[-1]
        w = through @ w
        w[:, 0] += through[:, told] @ shift[told]
        w[there[hidden], 0] += shift[there[hidden]]
        self.steps[-1] = (terms, w, through @ noise @ through.T + gap, unknown, late)
        self.made[-1] = {n: (through @ adds, through**2 @ surer) for n, (adds, surer) in self.made[-1].items()}
        f, whole = w.shape[1], self.covariances[-1]
        tail = len(whole) - d * f
        turn = np.eye(len(whole))
        turn[tail:, tail:] = np.kron(through, np.eye(f))
        whole = turn @ whole @ turn.T + FIXED * np.eye(len(whole))
        for to in (int(there[i]) for i in hidden if self.known[there[i]]):
            larger = ALIKE_SIDES * w[to, 1:]
            places = tail + to * f + np.arange(1, f)
            whole[np.ix_(places, places)] += np.outer(larger, larger)
        unsure = tail + there[hidden] * f
        whole[unsure, unsure] += (np.diag(cov)[hidden] + np.diag(self.cov)[there[hidden]]) / parts
        self.covariances[-1] = whole

    def _meet(self, process: Process, layout: Layout, visit: Visit, left: VisitInterface, hidden: list[int]) -> None:
        """Hold what the last visit's weights may be to what comes in on average, of characteristics not read there.

        Downstream knows that average, whatever the steps did to it that nobody read; how its shares are divided between
        them stays open.
        """
        first = visit.first - len(left.steps)
        if not hidden or any(process.steps[k].formula is not None for k in range(first, visit.first)):
            return
        d, x = self.d, self.entered
        names = list(process.settings)
        features = []
        for k in range(first, visit.first):
            terms, w, _, _, late = self.steps[k]
            v = [left.usual[names[j]] for j in (*layout.levers[k], *late)]
            features.append(np.array([np.prod([v[j] for j in p]) * (x[c] if c >= 0 else 1.0) for p, c in terms]))
            x = w @ features[-1]
        onward: Floats = np.eye(d)
        slopes: list[Floats] = []
        for k, phi in zip(range(visit.first - 1, first - 1, -1), reversed(features), strict=True):
            slopes.insert(0, np.einsum("ci,f->cif", onward, phi).reshape(d, -1))
            onward = onward @ self.steps[k][1][:, 1 : d + 1]
        slope = np.hstack(slopes)[hidden]
        whole = self.covariances[-1]
        pulled = whole @ slope.T
        gain = np.linalg.solve(slope @ pulled + FIXED * np.eye(len(hidden)), pulled.T)
        whole = whole - pulled @ gain
        self.covariances[-1] = (whole + whole.T) / 2 + FIXED * np.eye(len(whole))

    def _tell(
        self, process: Process, visit: Visit, stop: VisitInterface, hidden: list[int], there: Ints, share: Floats
    ) -> None:
        border = f"{process.steps[visit.first - 1].name} and {process.steps[visit.first].name}"
        for row, i in enumerate(hidden):
            name = stop.characteristics[i]
            if not self.known[there[i]]:
                self.notes.append(
                    f"{name} is read by nobody before {process.steps[visit.first].name}: what earlier settings do to "
                    f"it is not known, and plans that move them are less sure"
                )
            else:
                more = f" {share[row]:.0%} of how parts differ there is laid to chance;" if share[row] > LITTLE else ""
                self.notes.append(
                    f"between {border} nobody reads {name}, so that what the steps before the border do to it is not "
                    f"known one by one;{more} a reading at the border would tell"
                )


def _regression(cov: Floats, of: list[int], on: list[int]) -> Floats:
    """How what is hidden goes with what is read, `len(of) x len(on)`."""
    if not on:
        return np.zeros((len(of), 0))
    return np.asarray(np.linalg.solve(cov[np.ix_(on, on)] + 1e-9 * np.eye(len(on)), cov[np.ix_(on, of)]).T)


def _left_over(cov: Floats, of: list[int], on: list[int]) -> Floats:
    """Covariance of what is hidden, given what is read."""
    return np.asarray(cov[np.ix_(of, of)] - _regression(cov, of, on) @ cov[np.ix_(on, of)])
