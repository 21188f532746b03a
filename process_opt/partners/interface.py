"""What a partner hands out in place of its rows: a file of gains, offsets and covariances of its steps.

JSON, because people must be able to read what leaves their house. Everything is validated on reading, and a hash over
the content shows a file that was altered or cut short. What it reveals, and why rows cannot be had from it: README.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.process import Process, Step
from process_opt.state_space import Term
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

FORMAT = 1
KIND = "process interface"
LEAST = 1e-6
"""Smallest variance, standardised."""


@dataclass(frozen=True)
class StepInterface:
    """What one step does, in the visit's standardised numbers (`d` characteristics, `F` features)."""

    name: str
    terms: tuple[Term, ...]
    weights: Floats
    """`d x F`: offset, gains on the state, gains on the settings, then whatever the history asked for."""
    noise: Floats
    """`d x d`: covariance of what happens by chance."""
    unknown: Floats
    """`p`: variance of each setting where it was not recorded."""
    late: tuple[str, ...] = ()
    """Settings of earlier steps of the visit that come to light here; to terms they come after the step's own."""
    machines: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """What each machine adds to the average of them, and how much less the step's chance is where it is known that
    this one runs it: `d` each. A machine that ran too few parts is not told of."""


@dataclass(frozen=True)
class VisitInterface:
    """One visit's steps."""

    steps: tuple[StepInterface, ...]
    characteristics: tuple[str, ...]
    """`d`, all that the partner reads or is told at its borders."""
    scale: Floats
    """`d`, in units: one in standardised numbers."""
    means: Mapping[str, float]
    """Of each reading, in its unit; at the inward border, what comes with the part."""
    told: tuple[str, ...]
    """Characteristics that come with the part at the inward border."""
    stretch: Mapping[str, float]
    """Of each setting: one in standardised numbers, in its unit."""
    usual: Mapping[str, float]
    """Of each setting: its mean over the parts, standardised."""
    gauge: Mapping[str, float]
    """Of each own reading: standard deviation of its error, in its unit."""
    rounding: Mapping[str, tuple[float, float]]
    """Of each own reading that comes in steps: the step, and a value that it could come to (`rounding.py`)."""
    entry: tuple[Floats, Floats]
    """Mean `d` and covariance `d x d` of parts as they come in."""
    exit: tuple[Floats, Floats]
    """Likewise as they go out."""
    root: Floats
    """`P x P`, lower: times its transpose, the covariance of all weights of the visit, step by step, row by row."""
    lever_size: float
    """How large an effect of a setting usually is here: standard deviation, standardised."""
    identified: Mapping[str, bool]
    """Of each setting."""
    check: Mapping[str, Any]
    """How the visit's last readings were foretold on held-out parts: `readings`, `widen`, `coverage90`, ..."""

    @property
    def d(self) -> int:
        """How many characteristics."""
        return len(self.characteristics)


@dataclass(frozen=True)
class Interface:
    """A partner's file."""

    process: str
    partner: str
    version: str
    """Hash of the process that it was fitted for (`version_of`)."""
    agreed: Mapping[str, Any]
    """What that process said of the partner's steps and its borders: units, limits of the machines, gauges."""
    parts: int
    """The fewest parts behind any of its numbers."""
    dithered: int
    scrapped: int
    visits: tuple[VisitInterface, ...]
    notes: tuple[str, ...]

    @property
    def hash(self) -> str:
        """`sha256:…` of the content."""
        return _hash(_content(self))

    def text(self) -> str:
        """The file."""
        return json.dumps({**_content(self), "hash": self.hash}, indent=1, ensure_ascii=False) + "\n"


def said_of(step: Step) -> dict[str, Any]:
    """What a fit depends on of a step; not its money, nor the limits of a good part."""
    return {
        "partner": step.partner,
        "optional": step.optional,
        "settings": {
            s.name: {"unit": s.unit, "low": s.low, "high": s.high, "nominal": s.nominal} for s in step.settings
        },
        "measurements": {m.name: {"unit": m.unit, "gauge_sd": m.gauge_sd, "kind": m.kind} for m in step.measurements},
        "formula": dict(step.formula.text) if step.formula is not None else {},
        **({"machines": list(step.machines)} if step.machines else {}),
        "constants": {
            n: [
                c.mean,
                c.sd,
                c.low if math.isfinite(c.low) else None,
                c.high if math.isfinite(c.high) else None,
                c.unit,
            ]
            for n, c in (step.formula.constants.items() if step.formula is not None else ())
        },
    }


def version_of(process: Process) -> str:
    """`sha256:…` of everything in a process that a fit depends on; prices may change without it."""
    return _hash({"name": process.name, "steps": [[s.name, said_of(s)] for s in process.steps]})


def read_interface(path: Path) -> Interface:
    """The interface in a file; raises InvalidInput that says what is wrong with it."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path.name} cannot be read as an interface: {error}") from error
    return parse_interface(content, where=path.name)


def parse_interface(content: Any, *, where: str) -> Interface:
    """An interface from JSON; raises InvalidInput."""
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InvalidInput(f"{where} is not a process interface; make one with qc process partner-fit")
    if content.get("format") != FORMAT:
        raise InvalidInput(
            f"{where} has format {content.get('format')!r}, this version reads {FORMAT}; its partner must fit it again"
        )
    told = content.get("hash")
    if told != _hash({k: v for k, v in content.items() if k != "hash"}):
        raise InvalidInput(f"{where} was altered or damaged: its content does not match its hash; ask for it again")
    try:
        return Interface(
            process=str(content["process"]),
            partner=str(content["partner"]),
            version=str(content["version"]),
            agreed=dict(content["agreed"]),
            parts=int(content["parts"]),
            dithered=int(content["dithered"]),
            scrapped=int(content["scrapped"]),
            visits=tuple(_visit(v, f"{where}: visits[{i}]") for i, v in enumerate(content["visits"])),
            notes=tuple(map(str, content["notes"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InvalidInput(f"{where} is not sound ({error!r:.120}); its partner must fit it again") from error


def _visit(v: Mapping[str, Any], where: str) -> VisitInterface:
    names = tuple(map(str, v["characteristics"]))
    d = len(names)
    steps = tuple(_step(s, d, f"{where} {s['name']}") for s in v["steps"])
    size = sum(s.weights.size for s in steps)
    rows = v["root"]
    if len(rows) != size or any(len(row) != i + 1 for i, row in enumerate(rows)):
        raise InvalidInput(f"{where}: root must be {size} rows of growing length")
    root: Floats = np.zeros((size, size))
    for i, row in enumerate(rows):
        root[i, : i + 1] = _numbers(row, (i + 1,), f"{where}: root")
    scale = _numbers(v["scale"], (d,), f"{where}: scale")
    gauge = {str(n): float(g) for n, g in v["gauge"].items()}
    rounding = {str(n): (float(step), float(value)) for n, (step, value) in v.get("rounding", {}).items()}
    stretch = {str(n): float(g) for n, g in v["stretch"].items()}
    means = {str(n): float(g) for n, g in v["means"].items()}
    usual = {str(n): float(g) for n, g in v["usual"].items()}
    if (scale <= 0).any() or any(not 0 <= g < math.inf for g in gauge.values()):
        raise InvalidInput(f"{where}: scales must be positive and gauges not negative")
    if any(not (0 < step < math.inf and math.isfinite(value)) for step, value in rounding.values()):
        raise InvalidInput(f"{where}: steps of readings must be positive")
    if any(not 0 < s < math.inf for s in stretch.values()) or not all(
        map(math.isfinite, [*means.values(), *usual.values()])
    ):
        raise InvalidInput(f"{where}: stretches must be positive and means finite")
    if unknown := sorted(set(v["told"]) - set(names)):
        raise InvalidInput(f"{where}: told names {unknown[0]}, which is no characteristic")
    if unknown := sorted({name for s in steps for name in s.late} - set(stretch)):
        raise InvalidInput(f"{where}: late names {unknown[0]}, which is no setting of the visit")
    return VisitInterface(
        steps=steps,
        characteristics=names,
        scale=scale,
        means=means,
        told=tuple(map(str, v["told"])),
        stretch=stretch,
        usual=usual,
        gauge=gauge,
        rounding=rounding,
        entry=_moments(v["entry"], d, f"{where}: entry"),
        exit=_moments(v["exit"], d, f"{where}: exit"),
        root=root,
        lever_size=float(_numbers(v["lever_size"], (), f"{where}: lever_size")),
        identified={str(n): bool(known) for n, known in v["identified"].items()},
        check=dict(v["check"]),
    )


def _step(s: Mapping[str, Any], d: int, where: str) -> StepInterface:
    unknown = _numbers(s["unknown"], (len(s["unknown"]),), f"{where}: unknown")
    levers, late = unknown.size, tuple(map(str, s.get("late", [])))
    terms = tuple((tuple(int(j) for j in places), int(c)) for places, c in s["terms"])
    first: list[Term] = [((), -1), *(((), c) for c in range(d)), *(((j,), -1) for j in range(levers - len(late)))]
    if list(terms[: len(first)]) != first or any(
        c >= d or any(not 0 <= j < levers for j in places) for places, c in terms
    ):
        raise InvalidInput(f"{where}: terms do not fit its {d} characteristics and {levers} settings")
    return StepInterface(
        name=str(s["name"]),
        terms=terms,
        weights=_numbers(s["weights"], (d, len(terms)), f"{where}: weights"),
        noise=_covariance(s["noise"], d, f"{where}: noise"),
        unknown=unknown,
        late=late,
        machines={
            str(name): (_numbers(told["adds"], (d,), where), _numbers(told["surer"], (d,), where))
            for name, told in s.get("machines", {}).items()
        },
    )


def _moments(content: Mapping[str, Any], d: int, where: str) -> tuple[Floats, Floats]:
    return _numbers(content["mean"], (d,), where), _covariance(content["covariance"], d, where)


def _covariance(content: Any, d: int, where: str) -> Floats:
    """Symmetric; what rounding took off a variance that was almost none is put back."""
    out = _numbers(content, (d, d), where)
    if not np.allclose(out, out.T, rtol=1e-6, atol=1e-9):
        raise InvalidInput(f"{where}: a covariance must be symmetric")
    values, vectors = np.linalg.eigh((out + out.T) / 2)
    if values.min(initial=0.0) < -0.05 * max(float(values.max(initial=0.0)), 1e-6):
        raise InvalidInput(f"{where}: a covariance must not be negative")
    if values.min(initial=1.0) >= LEAST:
        return out
    return np.asarray((vectors * np.maximum(values, LEAST)) @ vectors.T)


def _numbers(content: Any, shape: tuple[int, ...], where: str) -> Floats:
    out = np.array(content, dtype=float)
    if out.shape != shape or not np.isfinite(out).all():
        raise InvalidInput(f"{where} must be finite numbers of shape {shape}, not of {out.shape}")
    return out


def _content(one: Interface) -> dict[str, Any]:
    return {
        "kind": KIND,
        "format": FORMAT,
        "process": one.process,
        "partner": one.partner,
        "version": one.version,
        "agreed": dict(one.agreed),
        "parts": one.parts,
        "dithered": one.dithered,
        "scrapped": one.scrapped,
        "notes": list(one.notes),
        "visits": [_visit_content(v) for v in one.visits],
    }


def _visit_content(v: VisitInterface) -> dict[str, Any]:
    return {
        "characteristics": list(v.characteristics),
        "scale": v.scale.tolist(),
        "means": dict(v.means),
        "told": list(v.told),
        "stretch": dict(v.stretch),
        "usual": dict(v.usual),
        "gauge": dict(v.gauge),
        **({"rounding": {n: list(told) for n, told in v.rounding.items()}} if v.rounding else {}),
        "entry": {"mean": v.entry[0].tolist(), "covariance": v.entry[1].tolist()},
        "exit": {"mean": v.exit[0].tolist(), "covariance": v.exit[1].tolist()},
        "lever_size": v.lever_size,
        "identified": dict(v.identified),
        "check": dict(v.check),
        "steps": [
            {
                "name": s.name,
                "terms": [[list(places), c] for places, c in s.terms],
                "weights": s.weights.tolist(),
                "noise": s.noise.tolist(),
                "unknown": s.unknown.tolist(),
                **({"late": list(s.late)} if s.late else {}),
                **({"machines": _machines_content(s)} if s.machines else {}),
            }
            for s in v.steps
        ],
        "root": [[float(f"{x:.4g}") for x in row[: i + 1]] for i, row in enumerate(v.root.tolist())],
    }


def _machines_content(s: StepInterface) -> dict[str, Any]:
    return {name: {"adds": adds.tolist(), "surer": surer.tolist()} for name, (adds, surer) in s.machines.items()}


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
