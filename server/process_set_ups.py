"""What setting up the steps cost a part that came to its end: a set-up that its batch shared is borne by all of it.

Counted as a plan for a batch counts it (`process_opt/batch_shared.py`): a step whose shared settings leave nominal is
set up once for the batch, and once more for each part that has settings of its own there which do. Functions take a
session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlmodel import Session, col, select

from process_opt.process import Process, Setting, Step
from process_opt.records import Outcome

Sharing = Mapping[tuple[str, str], int]
"""(batch, step) -> its parts that ended so far and went through the step with shared settings off nominal."""
AT_ONCE = 500
"""Batches named in one statement."""


def sharing(session: Session, name: str, process: Process, ended: Iterable[Mapping[str, Any]]) -> Sharing:
    """Who shares the set-ups of these parts, among all parts of their batches.

    Args:
        ended: the parts' outcomes (`Outcome.content`).
    """
    if not any(step.setup_cost and any(s.shared for s in step.settings) for step in process.steps):
        return {}
    batches = sorted({content["batch"] for content in ended if content["batch"]})
    out: Counter[tuple[str, str]] = Counter()
    for first in range(0, len(batches), AT_ONCE):
        named = col(Outcome.batch).in_(batches[first : first + AT_ONCE])
        for content in session.exec(select(Outcome.content).where(Outcome.process == name, named)):
            if not content["scrapped_at"] or content["scrapped_at"] in process.place:
                for step in steps_run(process, content):
                    if any(setting.shared for setting, _ in off_nominal(step, content)):
                        out[content["batch"], step.name] += 1
    return out


def steps_run(process: Process, content: Mapping[str, Any], first: int = 0) -> Iterator[Step]:
    """The steps from place `first` on that the part went through before its end."""
    end = process.place[content["scrapped_at"]] if content["scrapped_at"] else len(process.steps)
    if content["disposition"] == "scrapped" and not content["scrapped_at"]:
        end = first  # scrapped on the spot
    for step in process.steps[first:end]:
        if not step.optional or was_run(step, content["observed"]):
            yield step


def was_run(step: Step, observed: dict[str, float]) -> bool:
    """Does anything that was observed say that an optional step was run?"""
    return any(s.name in observed for s in step.settings) or any(m.name in observed for m in step.measurements)


def off_nominal(step: Step, content: Mapping[str, Any]) -> list[tuple[Setting, float]]:
    """Settings of the step that stood elsewhere than at nominal, with their values."""
    observed = content["observed"]
    return [(s, observed[s.name]) for s in step.settings if s.name in observed and observed[s.name] != s.nominal]


def set_up(step: Step, content: Mapping[str, Any], shared: Sharing) -> float:
    """What the part bears of the step's set-ups."""
    moved = [setting for setting, _ in off_nominal(step, content)]
    own = any(not setting.shared for setting in moved)
    parts = shared.get((content["batch"] or "", step.name), 1)
    return step.setup_cost * (own + any(setting.shared for setting in moved) / parts)
