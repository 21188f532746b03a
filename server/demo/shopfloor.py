"""One part on its way through the imaginary process, with the server asked for advice where it goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from process_opt.process import Process
from process_opt.simulate import Line, Part

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A request for a recommendation (contracts, section 6) to its answer."""

ASKS = 4
"""How often a part is stopped for advice, at most."""

READINGS_AGAIN = 2
"""How often a part is measured again before somebody decides without."""

FOLLOWED = 0.95
"""Share of recommendations that the people at the line follow."""


@dataclass
class Advice:
    """What the server said about one part, and what the line did about it."""

    decisions: list[str] = field(default_factory=list)
    stops: int = 0
    """How often the part was stopped for advice."""
    followed: bool = True


@dataclass(frozen=True, slots=True)
class Passage:
    """How a part went through the process."""

    outcome: dict[str, Any]
    """As the server wants to hear it: part, disposition, scrapped_at, assignment, observed."""
    decisions: tuple[str, ...]
    """The server's decisions, in order; empty for a part that never left its limits."""
    conforms: bool | None
    """Within specification at the end; None for a scrapped part."""


def limits(process: Process) -> dict[str, tuple[float, float]]:
    """The limits a reading is watched against, by `step.measurement`.

    Its own, or else those of the finished part for the same characteristic: an angle that is wrong now will be wrong at
    the end unless somebody does something.
    """
    final = {name.split(".", 1)[1]: process.measurements[name][1] for name in process.conformance}
    watched = {}
    for name, (_, reading) in process.measurements.items():
        if math.isinf(reading.lower) and math.isinf(reading.upper):
            reading = final.get(name.split(".", 1)[1], reading)
        watched[name] = (reading.lower, reading.upper)
    return watched


def passage(line: Line, name: str, seed: int, ask: Ask | None) -> Passage:
    """Take one part through all steps.

    Steps run at their nominal settings until an inspection finds the part outside its limits; then the server is asked
    before the next step, and its plan holds until it is asked again.

    Args:
        line: the imaginary line.
        name: the part's name.
        seed: the part's fate; with the same advice the same part comes out.
        ask: the server; None before it knows the process.
    """
    process, watched = line.process, limits(line.process)
    rng = np.random.default_rng([seed, 23])
    part, advice = line.start(seed), Advice()
    plan: dict[str, float] = {}
    chosen: set[str] = set()
    wrong = False
    before = ""
    for step in process.steps:
        if wrong and ask is not None and advice.stops < ASKS:
            wrong = False
            advice.stops += 1
            answer = _advised(part, name, step.name, ask, advice)
            follows = rng.random() < FOLLOWED
            advice.followed &= follows
            if follows and answer["decision"] == "scrap" and before:
                return _told(part, name, advice, scrapped_at=before)
            if follows and answer["decision"] in ("continue", "correct"):
                plan, chosen = dict(answer.get("settings") or {}), set(answer.get("run") or ())
        settings = {s.name: plan[s.name] for s in step.settings if s.name in plan}
        runs = not step.optional or step.name in chosen
        readings = part.run_step(step.name, settings if runs else None)
        before = step.name
        if len(readings) > 1:  # an inspection: it looks at the whole part, other steps at one thing only
            wrong = any(not watched[n][0] <= value <= watched[n][1] for n, value in readings.items())
    return _told(part, name, advice, scrapped_at=None)


def _advised(part: Part, name: str, at: str, ask: Ask, advice: Advice) -> Mapping[str, Any]:
    """Ask, take the further readings that are asked for, and ask again."""
    answer: Mapping[str, Any] = {}
    for _ in range(READINGS_AGAIN + 1):
        answer = ask({"part": name, "at": at, "observed": dict(part.observed)})
        advice.decisions.append(str(answer["decision"]))
        if answer["decision"] != "measure":
            break
        for reading in answer.get("measure") or ():
            read_again(part, str(reading))
    return answer


def read_again(part: Part, name: str) -> float:
    """Take a reading again with the same gauge, on the part as it is now; the mean of both readings is logged."""
    line = part.line
    place, _ = line.process.measurements[name]
    truth = line.truths[place]
    column = [m.name for m in line.process.steps[place].measurements].index(name)
    noisy = part.x[:, list(truth.reads)] + truth.gauge * part.rng.standard_normal((1, len(truth.reads)))
    fresh = float(line.readings_to_units(place, noisy)[0, column])
    earlier = part.observed.get(name)
    part.observed[name] = fresh if earlier is None else (fresh + earlier) / 2.0
    return part.observed[name]


def _told(part: Part, name: str, advice: Advice, *, scrapped_at: str | None) -> Passage:
    assignment = "" if not advice.decisions else "recommendation" if advice.followed else "operator"
    outcome = {
        "part": name,
        "disposition": "scrapped" if scrapped_at else "finished",
        "scrapped_at": scrapped_at,
        "assignment": assignment,
        "observed": dict(part.observed),
    }
    return Passage(outcome, tuple(advice.decisions), None if scrapped_at else part.conforms())
