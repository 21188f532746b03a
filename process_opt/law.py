"""A formula in the model's own numbers: standardised state and settings in, standardised state out, with derivatives.

Where a part's state is only known with some error the filter takes the formula's tangent at what is believed of the
part (extended Kalman filter); what that leaves out is half the formula's curvature times the variance of the state.
Settings are known, and what they do is never approximated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from process_opt.formula import ZERO, Constant, Formula, Node, derivative, evaluate, name_at, unit_of
from process_opt.process import Measurement, Process
from process_opt.units import PLAIN, Unit, parse_unit
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

BOX = 6.0
"""Standard deviations of a characteristic within which a formula is tried before it is used; beyond, it goes on
straight, so that one absurd reading cannot ask for the root of a negative number."""
FACTOR = 0.2
"""Standard deviation of the factor by which a formula may be off that has no unknown constant of its own."""
TRIED = 512
"""Points of that trial."""


@dataclass(frozen=True, slots=True)
class Name:
    """An input: in base units it is `shift + slope * (its standardised number)`."""

    name: str
    kind: str
    """`x` characteristic, `v` setting, `c` unknown constant, `k` known constant."""
    place: int
    """Coordinate, place of the setting within its step, or number of the constant."""
    shift: float
    slope: float
    low: float
    high: float
    """Standardised; it is used clipped to these."""


@dataclass(frozen=True, slots=True)
class Output:
    """A characteristic that is written: `(value in base units - shift) / slope`, standardised."""

    row: int
    node: Node
    shift: float
    slope: float


@dataclass(frozen=True, slots=True)
class Local:
    """A formula's values and slopes at some places `S...`, for `R` characteristics written; standardised."""

    value: Floats
    """`R x S...`"""
    by_state: Floats
    """`R x d x S...`"""
    by_setting: Floats
    """`R x p x S...`; empty unless asked for."""
    by_constant: Floats
    """`K x S...`: slope of the one characteristic that each constant is for; empty unless asked for."""
    mixed: Floats
    """`K x d x S...`: how that slope changes with the state; empty unless asked for."""


@dataclass(frozen=True)
class Law:
    """A step's formula."""

    step: str
    names: tuple[Name, ...]
    outputs: tuple[Output, ...]
    owners: tuple[int, ...]
    """`K`: the characteristic (coordinate) that each unknown constant is for."""
    constants: tuple[Constant, ...]
    """`K`"""
    d: int
    p: int
    written: tuple[str, ...]
    """Names of the characteristics in `outputs`."""

    @cached_property
    def rows(self) -> list[int]:
        """Coordinates that are written."""
        return [o.row for o in self.outputs]

    @cached_property
    def settings(self) -> frozenset[int]:
        """Places, within the step, of the settings that act through the formula."""
        return frozenset(n.place for n in self.names if n.kind == "v")

    @cached_property
    def _slopes(self) -> dict[tuple[int, str], Node]:
        return {(r, n.name): derivative(o.node, n.name) for r, o in enumerate(self.outputs) for n in self.names}

    def local(self, x: Floats, v: Floats, c: Floats, *, settings: bool = False, constants: bool = False) -> Local:
        """The formula at states `x` (`d x S...`), settings `v` (`p x S...`), constants `c` (`K x S...`), broadcast.

        Raises:
            InvalidInput: the formula has no finite value there.
        """
        shape = np.broadcast_shapes(x.shape[1:], v.shape[1:], c.shape[1:])
        of = {"x": x, "v": v, "c": c}
        values, outside = {}, []
        for n in self.names:
            raw = of[n.kind][n.place] if n.kind != "k" else np.zeros(())
            inside = np.clip(raw, n.low, n.high) if n.kind in "xc" else raw
            if n.kind == "x" and (off := raw - inside).any():
                outside.append((n, off))
            values[n.name] = n.shift + n.slope * inside
        memo: dict[int, Floats] = {}
        value = np.zeros((len(self.outputs), *shape))
        by_state = np.zeros((len(self.outputs), self.d, *shape))
        by_setting = np.zeros((len(self.outputs), self.p if settings else 0, *shape))
        many = len(self.owners) if constants else 0
        by_constant, mixed = np.zeros((many, *shape)), np.zeros((many, self.d, *shape))
        with np.errstate(all="ignore"):
            for r, o in enumerate(self.outputs):
                value[r] = (evaluate(o.node, values, memo) - o.shift) / o.slope
                for n in self.names:
                    slope = self._slopes[r, n.name]
                    if slope is ZERO or n.kind == "k" or (n.kind == "v" and not settings):
                        continue
                    if n.kind == "c" and not constants:
                        continue
                    told = evaluate(slope, values, memo) * (n.slope / o.slope)
                    if n.kind == "x":
                        by_state[r, n.place] = told
                    elif n.kind == "v":
                        by_setting[r, n.place] = told
                    else:
                        by_constant[n.place] = told
                        for m in self.names:
                            if m.kind == "x" and (bend := derivative(slope, m.name)) is not ZERO:
                                factor = n.slope * m.slope / o.slope
                                mixed[n.place, m.place] = evaluate(bend, values, memo) * factor
                for n, off in outside:
                    value[r] += by_state[r, n.place] * off
        if not all(np.isfinite(a).all() for a in (value, by_state, by_setting, by_constant, mixed)):
            raise InvalidInput(f"the formula of {self.step} has no finite value for such a part and settings")
        return Local(value, by_state, by_setting, by_constant, mixed)


def check_formulas(process: Process, where: str) -> None:
    """Names and units of every formula; raises InvalidInput with the place of the mistake."""
    for k, step in enumerate(process.steps):
        if step.formula is None:
            continue
        here = f"{where}: steps[{k}] ({step.name})"
        units = _units(process, k, here)
        for name, node in step.formula.expressions.items():
            place = f"{here}: formula.{name}"
            if name not in _characteristics(process):
                raise InvalidInput(f"{place}: no step measures {name}, so nothing can be learnt of it")
            for used in sorted(step.formula.names(name)):
                if used not in units:
                    raise InvalidInput(
                        f"{place}, character {name_at(node, used)}: {used} is unknown; known are {', '.join(units)}"
                    )
            result = unit_of(node, units, place)
            wanted = parse_unit(_unit_text(process, name, place), place)
            if result.kinds != wanted.kinds:
                raise InvalidInput(f"{place} gives {result.said}, but {name} is in {wanted.said}")


def _characteristics(process: Process) -> dict[str, list[tuple[int, Measurement]]]:
    out: dict[str, list[tuple[int, Measurement]]] = {}
    for name, (k, m) in process.measurements.items():
        out.setdefault(name.split(".", 1)[1], []).append((k, m))
    return out


def _unit_text(process: Process, characteristic: str, where: str) -> str:
    found = {m.unit for _, m in _characteristics(process)[characteristic]}
    if len(found) > 1:
        raise InvalidInput(f"{where}: {characteristic} is measured in {' and in '.join(sorted(found))}; use one unit")
    return next(iter(found))


def _units(process: Process, k: int, where: str) -> dict[str, Unit]:
    """What a formula of step `k` may name: settings of the step, characteristics known before it, its constants."""
    step = process.steps[k]
    assert step.formula is not None
    used = set().union(*(step.formula.names(n) for n in step.formula.expressions))
    known = {name for name, seen in _characteristics(process).items() if seen[0][0] < k}
    known |= {n for s in process.steps[:k] if s.formula is not None for n in s.formula.expressions}
    out: dict[str, Unit] = {}
    for kind, names in (
        ("setting", {s.name.split(".", 1)[1]: s.unit for s in step.settings}),
        ("characteristic", {n: None for n in sorted(known)}),
        ("constant", {n: c.unit for n, c in step.formula.constants.items()}),
    ):
        for name, unit in names.items():
            if name in out and name in used:
                raise InvalidInput(f"{where}: {name} is a {kind} and something else of the step; rename one of them")
            if name in used:
                text = _unit_text(process, name, where) if unit is None else unit
                out[name] = parse_unit(text, f"{where}: {kind} {name}")
            else:
                out.setdefault(name, PLAIN)
    return out


def levels(process: Process, mean: Floats) -> Floats:
    """`T + 1 x d`: each characteristic before each step and at the end of a part that is as usual, in its unit.

    A characteristic is, on average, what it was read to be last, or what formulas have made of it since, at nominal
    settings and the constants' prior means; before its first reading what that is, and the middle of its limits (or 0)
    where it was never read. Optional steps count as not run.

    Args:
        mean: of each reading, in its unit; NaN of one that was never taken.
    """
    names = list(_characteristics(process))
    out = np.zeros((len(process.steps) + 1, len(names)))
    places = {name: i for i, name in enumerate(process.measurements)}
    for c, seen in enumerate(_characteristics(process).values()):
        read = [float(mean[places[m.name]]) for _, m in seen]
        aimed = [(m.lower + m.upper) / 2 for _, m in seen]
        out[0, c] = next((level for level in (*read, *aimed) if math.isfinite(level)), 0.0)
    for k, step in enumerate(process.steps):
        out[k + 1] = out[k]
        if step.optional:
            continue
        if step.formula is not None:
            law = _law(process, k, out[k], np.zeros(len(names)), np.ones(len(names)), {})
            usual = law.local(np.zeros((len(names), 1)), np.zeros((law.p, 1)), np.zeros((len(law.owners), 1)))
            for r, o in enumerate(law.outputs):
                out[k + 1, o.row] = usual.value[r, 0]
        for m in step.measurements:
            if math.isfinite(level := float(mean[places[m.name]])):
                out[k + 1, names.index(m.name.split(".", 1)[1])] = level
    return out


def laws(process: Process, mean: Floats, scale: Floats, stretch: Mapping[str, float]) -> list[Law | None]:
    """The formula of every step, or None; raises InvalidInput where one has no value for usual parts.

    Args:
        mean, scale: as in `Layout`.
        stretch: by setting, its unit.
    """
    if all(step.formula is None for step in process.steps):
        return [None] * len(process.steps)
    level = levels(process, mean)
    out: list[Law | None] = []
    for k, step in enumerate(process.steps):
        law = None if step.formula is None else _law(process, k, level[k], level[k + 1], scale, stretch)
        if law is not None:
            law = _scaled(law)
            _try(law, process, stretch)
        out.append(law)
    return out


def _law(process: Process, k: int, before: Floats, after: Floats, scale: Floats, stretch: Mapping[str, float]) -> Law:
    step = process.steps[k]
    assert step.formula is not None
    formula: Formula = step.formula
    units = _units(process, k, step.name)
    names = list(_characteristics(process))
    used = set().union(*(formula.names(n) for n in formula.expressions))
    settings = {s.name.split(".", 1)[1]: (j, s) for j, s in enumerate(step.settings)}
    unknown = [c for c in formula.constants.values() if c.sd > 0]
    inputs = []
    for name in sorted(used):
        unit = units[name]
        if name in settings:
            j, s = settings[name]
            wide = stretch.get(s.name, 1.0)
            one = Name(name, "v", j, unit.factor * s.nominal + unit.offset, unit.factor * wide, -math.inf, math.inf)
        elif name in formula.constants:
            c = formula.constants[name]
            shift = unit.factor * c.mean + unit.offset
            if c.sd > 0:
                low, high = (c.low - c.mean) / c.sd, (c.high - c.mean) / c.sd
                one = Name(name, "c", unknown.index(c), shift, unit.factor * c.sd, low, high)
            else:
                one = Name(name, "k", 0, shift, 0.0, 0.0, 0.0)
        else:
            i = names.index(name)
            one = Name(name, "x", i, unit.factor * before[i] + unit.offset, unit.factor * float(scale[i]), -BOX, BOX)
        inputs.append(one)
    outputs = []
    for name, node in formula.expressions.items():
        i = names.index(name)
        unit = parse_unit(_unit_text(process, name, step.name), step.name)
        outputs.append(Output(i, node, unit.factor * after[i] + unit.offset, unit.factor * float(scale[i])))
    owner = {c: names.index(n) for n in formula.expressions for c in formula.names(n)}
    return Law(
        step=step.name,
        names=tuple(inputs),
        outputs=tuple(outputs),
        owners=tuple(owner[c.name] for c in unknown),
        constants=tuple(unknown),
        d=len(names),
        p=len(step.settings),
        written=tuple(formula.expressions),
    )


def _scaled(law: Law) -> Law:
    """The same, where an expression without unknown constants may be too large or too small by a factor: the commonest
    way of being wrong, and one that all parts together show soon. It turns about the usual value."""
    usual = law.local(np.zeros((law.d, 1)), np.zeros((law.p, 1)), np.zeros((len(law.owners), 1))).value[:, 0]
    names, outputs, owners, constants = list(law.names), [], list(law.owners), list(law.constants)
    for r, o in enumerate(law.outputs):
        if o.row not in law.owners:
            c = Constant(f"factor of {law.written[r]}", 1.0, FACTOR, 1.0 - 4 * FACTOR, 1.0 + 4 * FACTOR)
            names.append(Name(c.name, "c", len(owners), c.mean, c.sd, -4.0, 4.0))
            owners.append(o.row)
            constants.append(c)
            pivot = Node("number", value=float(o.shift + o.slope * usual[r]))
            off = Node("*", (Node("name", name=c.name), Node("-", (o.node, pivot))))
            o = replace(o, node=Node("+", (pivot, off)))
        outputs.append(o)
    return replace(law, names=tuple(names), outputs=tuple(outputs), owners=tuple(owners), constants=tuple(constants))


def _try(law: Law, process: Process, stretch: Mapping[str, float]) -> None:
    """Is the formula finite wherever the machine can be set, for usual parts and likely constants?"""
    from scipy.stats import qmc

    step = process.steps[process.place[law.step]]
    many = law.d + law.p + len(law.owners)
    points = qmc.Sobol(many, scramble=True, rng=np.random.default_rng(1)).random(TRIED).T
    x = (2 * points[: law.d] - 1) * BOX
    low = np.array([(s.low - s.nominal) / stretch[s.name] for s in step.settings])[:, None]
    high = np.array([(s.high - s.nominal) / stretch[s.name] for s in step.settings])[:, None]
    v = low + (high - low) * points[law.d : law.d + law.p]
    c = np.zeros((len(law.owners), TRIED))
    for n in law.names:
        if n.kind == "c":
            c[n.place] = n.low + (n.high - n.low) * points[law.d + law.p + n.place]
    try:
        law.local(x, v, c, settings=True, constants=True)
    except InvalidInput as error:
        raise InvalidInput(
            f"the formula of {law.step} has no finite value for some parts within {BOX:g} standard deviations of usual "
            f"ones, or settings the machine allows, or constants within their priors; guard roots, logarithms and "
            f"ratios with max(..., a small number)"
        ) from error
