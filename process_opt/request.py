"""A question about one part, checked before anything is worked out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from process_opt.counted import NUMBER
from process_opt.process import Process
from process_opt.scales import check_credible
from process_opt.swapped import check_not_swapped
from qc.errors import InvalidInput
from qc.finite import is_finite

if TYPE_CHECKING:
    from process_opt.layout import Layout

MOST_READINGS = 100
"""Of the same thing, in one request."""

_KNOWN = {"part", "at", "batch", "machines", "observed", "decided"}

Machines = tuple[tuple[str, str], ...]
"""Step and the machine that ran or will run it, in the order of processing."""


@dataclass(frozen=True)
class Question:
    """What to do with `part` before step `at`?"""

    part: str
    at: int
    """Place of the next step."""
    batch: str | None
    machines: Machines
    observed: dict[str, float]
    times: dict[str, int] = field(default_factory=dict)
    """Readings that were taken more than once, and how often; `observed` has their mean."""
    decided: dict[str, float] = field(default_factory=dict)
    """Settings of steps still to come that stand already, as those that the part's batch shares."""


def parse_question(request: Any, process: Process, layout: Layout) -> Question:
    """A question from JSON; raises InvalidInput naming what is wrong.

    Args:
        layout: of the model that is asked; a reading that its history contradicts is refused.
    """
    if not isinstance(request, Mapping):
        raise InvalidInput(f"a request must be an object with part, at and observed, not {type(request).__name__}")
    if unknown := sorted(set(map(str, request)) - _KNOWN):
        raise InvalidInput(f"a request does not know {unknown[0]!r}; it knows {sorted(_KNOWN)}")
    part = request.get("part")
    if not isinstance(part, str) or not part:
        raise InvalidInput(f"part must be the part's name, not {part!r}")
    at = request.get("at")
    if not isinstance(at, str) or at not in process.place:
        raise InvalidInput(f"part {part}: at names {at!r}, which is not a step of {process.name}")
    batch = request.get("batch")
    if batch is not None and not isinstance(batch, str):
        raise InvalidInput(f"part {part}: batch must be a name, not {batch!r}")
    observed = request.get("observed")
    if observed is None:
        observed = {}
    if not isinstance(observed, Mapping):
        raise InvalidInput(f"part {part}: observed must map names to numbers, not {type(observed).__name__}")
    checked = check_observed(observed, process, part)
    for name in checked:
        k = (process.settings.get(name) or process.measurements[name])[0]
        if k >= process.place[at]:
            raise InvalidInput(
                f"part {part}: observed holds {name}, but the part has not been through that step; at is {at}"
            )
    check_credible(checked, layout, process, part)
    check_not_swapped(checked, layout, process, part)
    times = {n: len(v) for n, v in observed.items() if isinstance(v, list) and len(v) > 1}
    machines = check_machines(request.get("machines"), process, part)
    decided = check_decided(request.get("decided"), process, part, process.place[at])
    return Question(part, process.place[at], batch, machines, checked, times, decided)


def check_decided(decided: Any, process: Process, part: str, at: int) -> dict[str, float]:
    """Settings of steps from place `at` on that stand already; raises InvalidInput naming what is wrong."""
    if decided is None:
        return {}
    if not isinstance(decided, Mapping):
        raise InvalidInput(f"part {part}: decided must map settings to numbers, not {type(decided).__name__}")
    for name in decided:
        if name not in process.settings:
            raise InvalidInput(f"part {part}: decided names {name!s:.80}, which is not a setting of {process.name}")
        if process.settings[name][0] < at:
            raise InvalidInput(f"part {part}: the part is through the step of {name}; tell it in observed")
    return check_observed(decided, process, part)


def check_machines(machines: Any, process: Process, part: str) -> Machines:
    """Steps and their machines, as JSON maps them; raises InvalidInput where the process knows no such machine."""
    if machines is None:
        return ()
    if not isinstance(machines, Mapping):
        raise InvalidInput(f"part {part}: machines must map steps to machines, not {type(machines).__name__}")
    for step, machine in machines.items():
        if step not in process.place:
            raise InvalidInput(f"part {part}: machines names {step!r}, which is not a step of {process.name}")
        known = process.steps[process.place[step]].machines
        if machine not in known:
            has = f"the machines {', '.join(known)}" if known else "no machines in the process file"
            raise InvalidInput(f"part {part}: machine {machine!r} of {step} is not known; the step has {has}")
    return tuple(sorted(machines.items(), key=lambda pair: process.place[pair[0]]))


def check_observed(observed: Mapping[str, Any], process: Process, part: str) -> dict[str, float]:
    """Known names with finite numbers the machines allow; a null is a gap, a list of numbers a reading taken again."""
    out = {}
    for name, value in observed.items():
        if name not in process.settings and name not in process.measurements:
            raise InvalidInput(f"part {part}: {name} is neither a setting nor a measurement of {process.name}")
        if value is None or (isinstance(value, list) and not value):
            continue
        if isinstance(value, list) and name in process.measurements:
            if len(value) > MOST_READINGS:
                raise InvalidInput(f"part {part}: {name} has {len(value)} readings; send at most {MOST_READINGS}")
            each = [check_observed({name: v}, process, part).get(name) for v in value if not isinstance(v, list)]
            if None in each or len(each) < len(value):
                raise InvalidInput(f"part {part}: {name} must be a number or a list of numbers, not {value!r:.80}")
            out[name] = math.fsum(v for v in each if v is not None) / len(each)
            continue
        if not is_finite(value):
            raise InvalidInput(f"part {part}: {name} must be a finite number, not {value!r:.80}")
        if abs(value) > 1e12:
            raise InvalidInput(f"part {part}: {name} = {value:g} is beyond any physical range")
        if name in process.measurements and value < 0 and (kind := process.measurements[name][1].kind) != NUMBER:
            raise InvalidInput(f"part {part}: {name} is a {kind}, so it cannot be {value:g}")
        if name in process.settings:
            setting = process.settings[name][1]
            if not setting.allows(value):
                raise InvalidInput(
                    f"part {part}: {name} = {value:g} is impossible, the machine allows {setting.allowed}"
                )
        out[name] = float(value)
    return out
