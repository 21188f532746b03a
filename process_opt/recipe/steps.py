"""A fitted process as a function network: what its steps do to the mean part, with the fit as prior.

A *look* is a step that takes readings. From look to look the mean state of a trial's parts is moved by the steps
between, so every characteristic at a look is a node; its parents are all characteristics at the look before, its
inputs the settings in between. One that is not read there is carried on as the model expects it. The objective is the
money of a part, by formula: readings of the finished part are normal around their mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import believe
from process_opt.estimate import features
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, probabilities
from process_opt.recipe.network import FunctionNetwork, Input, Node
from process_opt.state_space import Motion
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

MONEY = "money"
"""Name of the objective: expected money for a part, from the first step on."""
WAYS = 16
"""Directions in which the weights of a look's steps are uncertain: the widest."""
DIFFERENT = 0.05
"""Of a reading's spread over parts: how far a trial may show a step to differ from its fit where held-out parts gave
no reason for doubt."""
NUDGE = 1e-4
"""For slopes of the chance by differences, in standardised readings."""


@dataclass(frozen=True)
class Look:
    """The steps from one look to the next."""

    steps: tuple[int, ...]
    """Places of the steps after the last look, up to and with this one; optional ones are left out."""
    levers: tuple[int, ...]
    """Places of the settings that may be moved there, or were before and come to light there."""
    nodes: tuple[str, ...]
    """`d`: name of each characteristic's node here."""
    read: tuple[tuple[int, int], ...]
    """(place of the reading, coordinate)."""


class SegmentPrior:
    """What the fit says about one characteristic at a look (`network.Prior`). All numbers standardised."""

    def __init__(self, segment: Segment, coordinate: int, scale: float) -> None:
        self.segment, self.coordinate, self.scale = segment, coordinate, scale

    def __call__(self, z: Floats) -> tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]:
        """See `network.Prior`; `z` is the state at the look before, then the settings."""
        c = self.coordinate
        mean, features = self.segment.at(z)

        def pull(on_mean: Floats, on_features: Floats) -> Floats:
            of_mean, of_features = self.segment.slopes(z)
            out = of_mean[c] * on_mean + np.einsum("nrm,mr->nm", of_features[c], on_features)
            return np.asarray(out.T)

        return mean[c], features[c].T, pull


class Segment:
    """The steps of a look: the mean state after them, and how it moves along each direction in which their weights are
    uncertain. The second is exact for one step, and to first order where a look holds several."""

    def __init__(self, model: ProcessModel, look: Look, first: bool) -> None:
        self.model, self.look, self.first = model, look, first
        drawn = np.concatenate([model.draws[k].reshape(-1, model.size) for k in look.steps])
        middle = drawn.mean(axis=1)
        u, s, _ = np.linalg.svd((drawn - middle[:, None]) / np.sqrt(model.size), full_matrices=False)
        ways = u[:, :WAYS] * s[:WAYS]
        at = 0
        self.motions, self.ways = list[Motion](), list[Floats]()
        for k in look.steps:
            shape = model.motions[k].weights.shape
            size = shape[0] * shape[1]
            self.motions.append(replace(model.motions[k], weights=middle[at : at + size].reshape(shape)))
            self.ways.append(ways[at : at + size].reshape(*shape, -1))
            at += size
        skip = 0 if first else model.layout.d
        self.place = {lever: skip + i for i, lever in enumerate(look.levers)}
        self._values: tuple[Floats, Floats, Floats] | None = None
        self._slopes: tuple[Floats, Floats, Floats] | None = None

    def at(self, z: Floats) -> tuple[Floats, Floats]:
        """Mean `d x M` and features `d x R x M`. The characteristics of a look are asked one after the other at the
        same `z`, so the last answer is kept."""
        if self._values is None or self._values[0] is not z:
            mean, features, _, _ = self._run(z, False)
            self._values = (z, mean, features)
        return self._values[1], self._values[2]

    def slopes(self, z: Floats) -> tuple[Floats, Floats]:
        """Of both on `z`: `d x n x M` and `d x n x R x M`."""
        if self._slopes is None or self._slopes[0] is not z:
            _, _, of_mean, of_features = self._run(z, True)
            self._slopes = (z, of_mean, of_features)
        return self._slopes[1], self._slopes[2]

    def _run(self, z: Floats, slopes: bool) -> tuple[Floats, Floats, Floats, Floats]:
        d, m, n = self.model.layout.d, len(z), z.shape[1] if slopes else 0
        x = np.repeat(self.model.start[0][:, None], m, axis=1) if self.first else z[:, :d].T
        moved = np.zeros((d, self.ways[0].shape[2], m))
        by_x, by_moved = np.zeros((d, n, m)), np.zeros((d, n, self.ways[0].shape[2], m))
        if not self.first:
            by_x[:, :d] = np.eye(d)[:, :n, None]
        for k, motion, ways in zip(self.look.steps, self.motions, self.ways, strict=True):
            acting = motion.acting(self.model.layout.levers[k])
            mine = [(j, self.place[p]) for j, p in enumerate(acting) if p in self.place]
            v = np.zeros((len(acting), m))
            for j, column in mine:
                v[j] = z[:, column]
            phi, phi_by_x = features(motion, v, x)
            a, b = motion.map(v, at=x)
            a = np.broadcast_to(a, (d, d, m))
            new = np.einsum("ijm,jm->im", a, x) + b
            moved = np.einsum("ijm,jrm->irm", a, moved) + np.einsum("ifr,fm->irm", ways, phi)
            if n:
                phi_by_z = np.einsum("fjm,jnm->fnm", phi_by_x, by_x)
                by_x = np.einsum("ijm,jnm->inm", a, by_x)
                by_moved = np.einsum("ijm,jnrm->inrm", a, by_moved)
                for j, column in mine:
                    up = v.copy()
                    up[j] += NUDGE
                    phi_by_z[:, column] += (features(motion, up, x)[0] - phi) / NUDGE
                    a_up, b_up = motion.map(up, at=x)
                    by_x[:, column] += (np.einsum("ijm,jm->im", np.broadcast_to(a_up, a.shape), x) + b_up - new) / NUDGE
                by_moved += np.einsum("ifr,fnm->inrm", ways, phi_by_z)
            x = new
        return x, moved, by_x, by_moved


@dataclass(frozen=True)
class Money:
    """The objective: value of a good part and of an escape by their chances, less what the steps cost."""

    model: ProcessModel
    outlook: Outlook
    """Of a part at today's settings."""
    rows: tuple[int, ...]
    """Which deciding readings the parents are; the others stay as they are today."""

    @cached_property
    def cost(self) -> float:
        """Of running all steps that are not optional, once."""
        return sum(s.cost for s in self.model.process.steps if not s.optional)

    def chance(self, z: Floats) -> Floats:
        """That a part conforms, `M`, from the means of the deciding readings `z` (`M x parents`)."""
        mean = np.repeat(self.outlook.mean.mean(axis=1)[:, None], len(z), axis=1)
        mean[list(self.rows)] = z.T
        spread = np.repeat(self.outlook.cov.mean(axis=2)[:, :, None], len(z), axis=2)
        return np.clip(probabilities(replace(self.outlook, cov=spread), mean), 0.0, 1.0)

    def of(self, chance: Floats) -> Floats:
        """Money for a part by its chance to conform."""
        p = self.model.process
        return p.escape + (p.value - p.escape) * chance - self.cost

    def __call__(self, z: Floats) -> tuple[Floats, Callable[[], Floats]]:
        """See `network.Formula`."""
        money = self.of(self.chance(z))

        def slopes() -> Floats:
            n = z.shape[1]
            moved = np.concatenate([z + NUDGE * np.eye(n)[j] for j in range(n)])
            return np.asarray(((self.of(self.chance(moved)).reshape(n, -1) - money) / NUDGE).T)

        return money, slopes


@dataclass(frozen=True)
class RecipeNetwork:
    """A fitted process ready to search for a better recipe."""

    model: ProcessModel
    network: FunctionNetwork
    looks: tuple[Look, ...]
    money: Money
    present: dict[str, float]
    """Nominal settings of today, standardised; what may be moved."""
    left: tuple[str, ...]
    """Settings that stay, because the history does not identify what they do, or there is no room to move them."""

    def units(self, chosen: dict[str, float]) -> dict[str, float]:
        """Standardised settings in their units."""
        names = list(self.model.process.settings)
        layout = self.model.layout
        return {n: float(layout.nominal[i] + layout.stretch[i] * chosen[n]) for i, n in enumerate(names) if n in chosen}


def network_of(model: ProcessModel) -> RecipeNetwork:
    """The function network of a fitted process; raises InvalidInput where no setting may be moved."""
    process, names = model.process, list(model.process.settings)
    t = model.tables
    free = [
        bool(model.identified.get(n, False))
        and t.low[i] < t.high[i]
        and not process.steps[t.step_of[i]].optional
        and i not in model.choices  # the search goes along slopes, and between two values of a choice there is nothing
        for i, n in enumerate(names)
    ]
    if not any(free):
        raise InvalidInput(
            "no setting may be moved: the history does not tell what any of them does; see qc process diagnose for the "
            "cheapest way to find out"
        )
    looks = _looks(model, free)
    ahead = look_ahead(model, believe(model, {}, 0), np.zeros(len(names)), frozenset())
    doubt = float(np.mean(np.maximum(model.widening.mean(axis=1) ** 2 - 1, 0)))
    nodes = list[Node]()
    before: tuple[str, ...] = ()
    for look in looks:
        segment = Segment(model, look, not before)
        chance = np.mean([np.diag(model.motions[k].noise) for k in look.steps], axis=0) * len(look.steps)
        inputs = tuple(names[i] for i in look.levers)
        for c, name in enumerate(look.nodes):
            scale = float(np.sqrt(DIFFERENT**2 + doubt * chance[c]))
            nodes.append(Node(name, before, inputs, prior=SegmentPrior(segment, c, scale)))
        before = look.nodes
    known = {n.name for n in nodes}
    open_ = [n for n in process.conformance if n in known]
    if not open_:
        raise InvalidInput("no reading that decides conformance comes after a setting that may be moved")
    money = Money(model, ahead, tuple(process.conformance.index(n) for n in open_))
    nodes.append(Node(MONEY, tuple(open_), (), formula=money))
    inputs_ = tuple(
        Input(n, float(t.low[i]), float(t.high[i]))
        for i, n in enumerate(names)
        if any(i in look.levers for look in looks)
    )
    network = FunctionNetwork(inputs_, tuple(nodes), MONEY)
    left = tuple(n for n in names if n not in network.place)
    return RecipeNetwork(model, network, looks, money, {i.name: 0.0 for i in inputs_}, left)


def _looks(model: ProcessModel, free: list[bool]) -> tuple[Look, ...]:
    """The looks up to the last deciding reading; those before any setting may be moved belong to the first."""
    process, layout = model.process, model.layout
    last = max(process.measurements[n][0] for n in process.conformance)
    readings = list(process.measurements)
    out, steps, levers = list[Look](), list[int](), list[int]()
    for k in range(last + 1):
        step = process.steps[k]
        if step.optional:
            continue
        steps.append(k)
        levers += [i for i in model.motions[k].acting(layout.levers[k]) if free[i] and i not in levers]
        if not layout.reads[k] or not (levers or out):
            continue
        names = [f"{step.name}~{c}" for c in layout.coordinates]
        for place, c in layout.reads[k]:
            names[c] = readings[place]
        out.append(Look(tuple(steps), tuple(levers), tuple(names), layout.reads[k]))
        steps, levers = [], []
    return tuple(out)
