"""A process as a value: steps in order, their settings and measurements, limits and money (contracts, section 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from process_opt.camera import Source, parse_source
from process_opt.counted import COUNT, KINDS, NUMBER
from process_opt.formula import Formula, parse_formula
from qc.errors import InvalidInput
from qc.finite import is_finite
from qc.plain_yaml import parsed


@dataclass(frozen=True, slots=True)
class Setting:
    """A lever of a step. Numbers in `unit`."""

    name: str
    """`step.setting`."""
    low: float
    high: float
    """The machine cannot be set outside `[low, high]`."""
    nominal: float
    change_cost: float = 0.0
    """Money for each unit away from nominal."""
    unit: str = ""
    shared: bool = False
    """One value for all parts of a batch, as of a furnace that they are in together."""
    values: tuple[float, ...] = ()
    """All that it can be put to, ascending, where nothing between is possible; empty: anything in `[low, high]`."""

    def allows(self, value: float) -> bool:
        """Can the machine be set to `value`, but for rounding?"""
        slack = 1e-6 * max(self.high - self.low, abs(self.high), 1e-12)
        if self.values:
            return any(abs(value - own) <= slack for own in self.values)
        return self.low - slack <= value <= self.high + slack

    @property
    def allowed(self) -> str:
        """What the machine allows, in words."""
        if self.values:
            return "only " + ", ".join(f"{value:g}" for value in self.values)
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A reading that a step takes. Numbers in `unit`."""

    name: str
    """`step.measurement`."""
    lower: float = -math.inf
    upper: float = math.inf
    """A conforming reading lies in `[lower, upper]`."""
    gauge_sd: float | None = None
    """Standard deviation of the gauge's error; None: not known, learnt from the history."""
    unit: str = ""
    kind: str = NUMBER
    """`number`, `count` (0, 1, 2, ...) or `amount` (0 or more, often exactly 0): `counted.py`."""
    source: Source | None = None
    """The inspections that it is read from, where a camera reads it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. Money in the process's currency."""

    name: str
    settings: tuple[Setting, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    cost: float = 0.0
    """For running it once."""
    setup_cost: float = 0.0
    """If any setting leaves its nominal value."""
    minutes: float | None = None
    """How long running it once takes; None: nobody said."""
    optional: bool = False
    """A rework step, not run unless chosen."""
    needs_approval: bool = False
    """A rework step that may be carried out on a part only after a person has assessed its risk and approved it."""
    partner: str = ""
    factory: str = ""
    machines: tuple[str, ...] = ()
    """Those that run it, where it is more than one and the history says which (`step.machine`)."""
    after: tuple[str, ...] | None = None
    """Earlier steps that are said to act on this one; None: all may."""
    formula: Formula | None = None
    """Known physics: what the step makes of some characteristics (`law.py`)."""


@dataclass(frozen=True)
class Process:
    """The steps a part goes through and what its fate is worth."""

    name: str
    currency: str
    value: float
    """A part finished within specification."""
    scrap: float
    """A part scrapped now."""
    escape: float
    """A part finished outside its specification."""
    conformance: tuple[str, ...]
    """The readings of a finished part that must all lie within their limits."""
    steps: tuple[Step, ...]
    escape_limit: float | None = None
    """The largest risk of ending outside with which a part is finished, whatever going on is worth; None: money alone
    decides."""
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was read, as JSON."""

    @cached_property
    def place(self) -> dict[str, int]:
        """Step name to its place in the order of processing, from 0."""
        return {step.name: k for k, step in enumerate(self.steps)}

    @cached_property
    def settings(self) -> dict[str, tuple[int, Setting]]:
        """`step.setting` to the place of its step and the setting."""
        return {s.name: (k, s) for k, step in enumerate(self.steps) for s in step.settings}

    @cached_property
    def shared(self) -> frozenset[str]:
        """`step.setting` of which all parts of a batch have one value."""
        return frozenset(name for name, (_, setting) in self.settings.items() if setting.shared)

    @cached_property
    def machines(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """`step.machine` to the place of its step and the machines that run it, of steps that name theirs."""
        return {f"{step.name}.{MACHINE}": (k, step.machines) for k, step in enumerate(self.steps) if step.machines}

    @cached_property
    def measurements(self) -> dict[str, tuple[int, Measurement]]:
        """`step.measurement` to the place of its step and the measurement."""
        return {m.name: (k, m) for k, step in enumerate(self.steps) for m in step.measurements}


def read_process(path: Path) -> Process:
    """The process in a YAML file; raises InvalidInput with the place of the mistake."""
    path = Path(path)
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path.name} cannot be read as YAML: {' '.join(str(error).split())}") from error
    return parse_process(content, where=path.name)


MACHINE = "machine"
"""What stands behind the step's name in the column that says which machine ran it."""

_TOP = {"name", "currency", "part", "conformance", "steps", "serving"}
_PART = {"value", "scrap", "escape", "escape_limit"}
_STEP = {"name", "partner", "factory", "cost", "setup_cost", "minutes", "optional", "needs_approval", "after",
         "machines", "shared", "settings", "measurements", "formula", "constants"}  # fmt: skip
_SETTING = {"unit", "low", "high", "nominal", "change_cost", "shared", "values"}
_MEASUREMENT = {"unit", "lower", "upper", "gauge_sd", "kind", "from"}
ALIKE = 0.8
"""Share of two words' letters that agree (difflib's ratio) from which one is taken for a slip of the other."""
BATCH = "batch"
"""Behind `shared`: the one thing that settings can be shared by."""


def parse_process(content: Any, *, where: str = "process") -> Process:
    """A process from what YAML or JSON gave; raises InvalidInput with the place of the mistake."""
    top = _mapping(content, where)
    for key in ("name", "part", "conformance", "steps"):
        if not top.get(key):
            raise InvalidInput(f"{where} must have {key}")
    for key in set(map(str, top)) - _TOP:  # a file may say more than we need, but not something else than it means
        if meant := get_close_matches(key, sorted(_TOP), 1, ALIKE):
            raise InvalidInput(f"{where} does not know {key!r}; is it {meant[0]!r}?")
    money = _mapping(top["part"], f"{where}: part")
    _check_known(money, _PART, f"{where}: part")
    if missing := [k for k in ("value", "scrap", "escape") if k not in money]:
        raise InvalidInput(f"{where}: part must have {', '.join(missing)}")
    if not isinstance(top["steps"], list):
        raise InvalidInput(f"{where}: steps must be a list, in the order of processing")
    steps: list[Step] = []
    for i, raw in enumerate(top["steps"]):
        steps.append(_step(raw, f"{where}: steps[{i}]", {s.name for s in steps}))
    process = Process(
        name=str(top["name"]),
        currency=str(top.get("currency", "EUR")),
        value=_number(money["value"], f"{where}: part.value"),
        scrap=_number(money["scrap"], f"{where}: part.scrap"),
        escape=_number(money["escape"], f"{where}: part.escape"),
        conformance=_names(top["conformance"], f"{where}: conformance"),
        steps=tuple(steps),
        escape_limit=_limit(money.get("escape_limit"), f"{where}: part.escape_limit"),
        source=dict(top),
    )
    _check(process, where)
    from process_opt.serving import serving_of  # which needs Process itself

    serving_of(process, where)
    return process


def as_yaml(process: Process) -> str:
    """The process as it was read, in YAML."""
    return yaml.safe_dump(dict(process.source), sort_keys=False, allow_unicode=True)


def _check(process: Process, where: str) -> None:
    if both := sorted(set(process.settings) & set(process.measurements)):
        raise InvalidInput(f"{where}: {both[0]} is a setting and a measurement; rename one of them")
    for name in process.machines:
        if name in process.settings or name in process.measurements:
            raise InvalidInput(f"{where}: {name} says which machine ran the step; rename the value of that name")
    if len(set(process.conformance)) < len(process.conformance):
        raise InvalidInput(f"{where}: conformance names a reading twice; each counts once")
    for name in process.conformance:
        if name not in process.measurements:
            raise InvalidInput(f"{where}: conformance names {name}, which no step measures")
        reading = process.measurements[name][1]
        if math.isinf(reading.lower) and math.isinf(reading.upper):
            raise InvalidInput(f"{where}: {name} decides conformance, so it needs a limit (lower, upper)")
        if process.steps[process.measurements[name][0]].optional:
            raise InvalidInput(f"{where}: {name} decides conformance, so its step cannot be optional")
    kinds: dict[str, tuple[str, str]] = {}
    for name, (_, m) in process.measurements.items():
        first, kind = kinds.setdefault(name.split(".", 1)[1], (name, m.kind))
        if kind != m.kind:
            raise InvalidInput(
                f"{where}: {name} is a {m.kind}, but {first} of the same name a {kind}; rename one of them"
            )
    counted = {short for short, (_, kind) in kinds.items() if kind != NUMBER}
    for step in process.steps:
        for name in step.formula.expressions if step.formula is not None else ():
            if wrong := counted & {name, *(step.formula.names(name) if step.formula is not None else ())}:
                raise InvalidInput(
                    f"{where}: {step.name} has a formula with {sorted(wrong)[0]}, which is counted; leave it out"
                )
    if any(step.formula is not None for step in process.steps):
        from process_opt.law import check_formulas  # which needs Process itself

        check_formulas(process, where)
    if process.escape >= process.value:
        raise InvalidInput(f"{where}: part.escape {process.escape} must be worth less than part.value {process.value}")


def _step(raw: Any, where: str, earlier: set[str]) -> Step:
    content = _mapping(raw, where)
    _check_known(content, _STEP, where)
    name = str(content.get("name") or "")
    if not name or "." in name:
        raise InvalidInput(f"{where} must have a name without a dot, not {name!r}")
    if name in earlier:
        raise InvalidInput(f"{where}: the name {name} is taken by an earlier step")
    where = f"{where} ({name})"
    after = content.get("after")
    if after is not None:
        after = _names(after, f"{where}: after", empty=True)
        if unknown := [a for a in after if a not in earlier]:
            raise InvalidInput(f"{where}: after names {unknown[0]}, which is not an earlier step")
    optional = content.get("optional", False)
    if not isinstance(optional, bool):
        raise InvalidInput(f"{where}: optional must be true or false, not {optional!r}")
    needs_approval = content.get("needs_approval", False)
    if not isinstance(needs_approval, bool):
        raise InvalidInput(f"{where}: needs_approval must be true or false, not {needs_approval!r}")
    if needs_approval and not optional:
        raise InvalidInput(f"{where}: needs_approval is for rework; a step that every part goes through needs none")
    shared = _shared(content.get("shared"), where)
    formula = None
    if content.get("formula") is not None:
        formula = parse_formula(content["formula"], content.get("constants"), where)
    elif content.get("constants"):
        raise InvalidInput(f"{where}: constants belong to a formula, and the step has none")
    return Step(
        name=name,
        settings=tuple(
            _setting(name, n, s, where, shared) for n, s in _mapping(content.get("settings") or {}, where).items()
        ),
        measurements=tuple(
            _measurement(name, n, m, where) for n, m in _mapping(content.get("measurements") or {}, where).items()
        ),
        cost=_not_negative(content.get("cost", 0.0), f"{where}: cost"),
        setup_cost=_not_negative(content.get("setup_cost", 0.0), f"{where}: setup_cost"),
        minutes=None if content.get("minutes") is None else _not_negative(content["minutes"], f"{where}: minutes"),
        optional=optional,
        needs_approval=needs_approval,
        partner=str(content.get("partner") or ""),
        factory=str(content.get("factory") or ""),
        machines=_machines(content.get("machines"), where),
        after=after,
        formula=formula,
    )


def _machines(raw: Any, where: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    names = _names(raw, f"{where}: machines")
    if len(set(names)) < len(names) or "" in names:
        raise InvalidInput(f"{where}: machines must be different names, not {raw!r:.80}")
    return names


def _shared(raw: Any, where: str) -> bool:
    if raw not in (None, BATCH):
        raise InvalidInput(f"{where}: shared must be {BATCH} or be left out, not {raw!r:.40}")
    return raw is not None


def _setting(step: str, name: object, raw: Any, where: str, shared: bool) -> Setting:
    where = f"{where}: settings.{_word(name, where)}"
    content = _mapping(raw, where)
    _check_known(content, _SETTING, where)
    if missing := [k for k in ("low", "high", "nominal") if k not in content]:
        raise InvalidInput(f"{where} must have {', '.join(missing)}")
    low, high, nominal = (_number(content[k], f"{where}.{k}") for k in ("low", "high", "nominal"))
    if not low <= nominal <= high:
        raise InvalidInput(f"{where}: nominal {nominal} must lie between low {low} and high {high}")
    cost = _not_negative(content.get("change_cost", 0.0), f"{where}.change_cost")
    shared = shared or _shared(content.get("shared"), where)
    values = _values(content.get("values"), low, nominal, high, where)
    return Setting(f"{step}.{name}", low, high, nominal, cost, str(content.get("unit") or ""), shared, values)


def _values(raw: Any, low: float, nominal: float, high: float, where: str) -> tuple[float, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) < 2:
        raise InvalidInput(f"{where}: values must be a list of two or more numbers, not {raw!r:.80}")
    values = sorted({_number(value, f"{where}.values") for value in raw})
    if nominal not in values:
        raise InvalidInput(f"{where}: nominal {nominal:g} must be one of the values")
    if values[0] < low or values[-1] > high:
        raise InvalidInput(f"{where}: values must lie between low {low:g} and high {high:g}")
    return tuple(values)


def _measurement(step: str, name: object, raw: Any, where: str) -> Measurement:
    where = f"{where}: measurements.{_word(name, where)}"
    content = _mapping(raw or {}, where)
    _check_known(content, _MEASUREMENT, where)
    lower = content.get("lower")
    upper = content.get("upper")
    gauge = content.get("gauge_sd")
    low = -math.inf if lower is None else _number(lower, f"{where}.lower")
    high = math.inf if upper is None else _number(upper, f"{where}.upper")
    if not low < high:
        raise InvalidInput(f"{where}: lower {low} must be below upper {high}")
    sd = None if gauge is None else _not_negative(gauge, f"{where}.gauge_sd")
    source = None if content.get("from") is None else parse_source(content["from"], f"{where}.from")
    kind = content.get("kind", NUMBER if source is None else source.kind)
    if kind not in KINDS:
        raise InvalidInput(f"{where}.kind must be one of {', '.join(KINDS)}, not {kind!r:.40}")
    if source is not None and kind != source.kind:
        raise InvalidInput(f"{where}: what {source.what} gives is a {source.kind}, not a {kind}; leave kind out")
    if kind != NUMBER and sd is not None:
        raise InvalidInput(f"{where}: the error of a {kind} is learnt from the history; leave gauge_sd out")
    if kind != NUMBER and high < 0:
        raise InvalidInput(f"{where}: a {kind} is never below 0, so upper {high} would leave nothing to conform")
    if kind == COUNT and math.ceil(max(low, 0.0)) > high:
        raise InvalidInput(f"{where}: no whole number lies between lower {low} and upper {high}")
    return Measurement(f"{step}.{name}", low, high, sd, str(content.get("unit") or ""), kind, source)


def _check_known(content: Mapping[Any, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(map(str, content)) - known):
        raise InvalidInput(f"{where} does not know {unknown}; it knows {sorted(known)}")


def _word(name: object, where: str) -> object:
    """A name that YAML has not read as something else: `on`, `no` and nothing are none."""
    if isinstance(name, bool) or name is None or not str(name).strip():
        raise InvalidInput(f"{where}: {name!r} is no name; put words like on and no in quotes")
    return name


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a mapping, not {value!r:.80}")
    return value


def _names(value: Any, where: str, *, empty: bool = False) -> tuple[str, ...]:
    if not isinstance(value, list) or not (value or empty) or not all(isinstance(n, str) for n in value):
        raise InvalidInput(f"{where} must be a list of names, not {value!r:.80}")
    return tuple(value)


def _number(value: Any, where: str) -> float:
    if not is_finite(value):
        raise InvalidInput(f"{where} must be a number, not {value!r:.80}")
    return float(value)


def _limit(value: Any, where: str) -> float | None:
    if value is None:
        return None
    limit = _number(value, where)
    if not 0 < limit < 1:
        raise InvalidInput(f"{where} must lie between 0 and 1, as 0.05 for one part in twenty, but is {limit:g}")
    return limit


def _not_negative(value: Any, where: str) -> float:
    number = _number(value, where)
    if number < 0:
        raise InvalidInput(f"{where} must not be negative, but is {number}")
    return number
