"""What the recommendations brought, counted from what came of the parts. Every formula stands in `summary`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlmodel import Session, col, select

from process_opt.process import Process, Step
from process_opt.records import Outcome, Recommendation
from server.process_set_ups import Sharing, off_nominal, set_up, sharing, steps_run, was_run

NEAR = 0.02
"""A setting counts as followed within this share of its range: a machine is set in steps."""


class Money(BaseModel):
    """Sums over the parts that followed their recommendation, from the step at which each part's first was asked."""

    realised: float
    """What the parts were worth, less what was spent on them."""
    if_scrapped: float
    """Had each been scrapped when first asked."""
    if_continued_expected: float
    """Expected, had each gone on at nominal settings when first asked."""
    saved_against_scrapping: float
    """`realised - if_scrapped`."""
    saved_against_continuing: float
    """`realised - if_continued_expected`."""
    currency: str


class Summary(BaseModel):
    """What came of the parts that had a recommendation."""

    recommended: int
    """Parts with a recommendation and an outcome."""
    followed: int
    """Of these, the parts with which was done what was advised; all figures below are of these parts."""
    finished_in_spec: int
    finished_out_of_spec: int
    scrapped: int
    unknown: int
    """Finished, but a reading that decides conformance is missing; not in the money."""
    money: Money
    worth: str | None = None
    """What the trial of the advice says, in a sentence; null where none is allowed."""


@dataclass(frozen=True, slots=True)
class Account:
    """One part's books. Money from the first recommendation's step on."""

    realised: float | None
    """None: finished, but nobody measured whether within specification."""
    fate: str
    """in, out, scrapped or unknown."""
    if_scrapped: float
    if_continued: float


def summary(session: Session, name: str, process: Process, parts: Collection[str] | None = None) -> Summary:
    """What the recommendations of a process brought, on all parts or on some.

    Over the parts that followed their last recommendation (other than `measure`):
    realised = value | escape | scrap, by what came of the part
             - cost of every step run from the first recommendation's step on, scrapped parts only up to their end
             - setup_cost of each of these steps with a setting off nominal; where the parts of a batch share it, an
               equal part of it for each of them that went through the step
             - change_cost x |setting - nominal| of each
             - cost of the readings that a recommendation asked to take (again);
    if_scrapped and if_continued_expected = the first recommendation's value_if_scrapped and value_if_continued.
    Parts of a process that had other steps under the same name are not in it.
    """
    wanted = select(Outcome).where(Outcome.process == name)
    asked = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id))
    if parts is not None:
        wanted = wanted.where(col(Outcome.part).in_(list(parts)))
        asked = asked.where(col(Recommendation.part).in_(list(parts)))
    known = session.exec(wanted)
    outcomes = {o.part: o for o in known if ended_in(process, o.content)}
    advice: dict[str, list[Recommendation]] = {}
    for row in session.exec(asked):
        if row.part in outcomes and speaks_of(process, row):
            advice.setdefault(row.part, []).append(row)
    done = {
        part: outcomes[part].content
        for part, rows in advice.items()
        if was_followed(process, rows, outcomes[part].content)
    }
    shared = sharing(session, name, process, done.values())
    followed = [account(process, advice[part], content, shared) for part, content in done.items()]
    return _sum(process, len(advice), followed)


def speaks_of(process: Process, row: Recommendation) -> bool:
    """Is an advice about the process as it is now? Under the same name there may have been one of other steps."""
    steps = {row.answer["at"], *row.answer["run"]}
    names = {*row.answer["settings"], *row.answer["measure"]}
    return steps <= set(process.place) and names <= set(process.settings) | set(process.measurements)


def ended_in(process: Process, outcome: dict[str, Any]) -> bool:
    """Did the part end in the process as it is now, and not at a step that is gone?"""
    return not outcome["scrapped_at"] or outcome["scrapped_at"] in process.place


def was_followed(process: Process, rows: list[Recommendation], outcome: dict[str, Any]) -> bool:
    """Was done what the last recommendation that decided something said?"""
    deciding = [row.answer for row in rows if row.answer["decision"] != "measure"]
    if not deciding or deciding[-1]["decision"] == "abstain":
        return False
    if outcome["assignment"] == "recommendation":  # whoever told the outcome says so
        return True
    last, observed = deciding[-1], outcome["observed"]
    if last["decision"] == "scrap":
        return bool(outcome["disposition"] == "scrapped")
    if outcome["disposition"] == "scrapped":
        return False
    from_step = process.place[last["at"]]
    wanted = {**_nominal(process.steps[from_step:], set(last["run"])), **last["settings"]}
    for name, value in wanted.items():
        setting = process.settings[name][1]
        if name in observed and abs(observed[name] - value) > NEAR * (setting.high - setting.low):
            return False
    return all(was_run(process.steps[process.place[step]], observed) for step in last["run"])


def account(process: Process, rows: list[Recommendation], outcome: dict[str, Any], shared: Sharing) -> Account:
    """One part's books, from its first recommendation on.

    Args:
        shared: as from `sharing`, of this part's batch.
    """
    first = rows[0].answer
    ended = fate(process, outcome)
    worth = {"in": process.value, "out": process.escape, "scrapped": process.scrap}.get(ended)
    spent = _spent(process, process.place[first["at"]], outcome, shared) + _spent_on_readings(process, rows)
    return Account(
        realised=None if worth is None else worth - spent,
        fate=ended,
        if_scrapped=float(first["value_if_scrapped"] or 0.0),
        if_continued=float(first["value_if_continued"] or 0.0),
    )


def _sum(process: Process, recommended: int, followed: list[Account]) -> Summary:
    counted = [a for a in followed if a.realised is not None]
    realised = math.fsum(a.realised for a in counted if a.realised is not None)
    scrapped, continued = math.fsum(a.if_scrapped for a in counted), math.fsum(a.if_continued for a in counted)
    fates = [a.fate for a in followed]
    return Summary(
        recommended=recommended,
        followed=len(followed),
        finished_in_spec=fates.count("in"),
        finished_out_of_spec=fates.count("out"),
        scrapped=fates.count("scrapped"),
        unknown=fates.count("unknown"),
        money=Money(
            realised=round(realised, 2),
            if_scrapped=round(scrapped, 2),
            if_continued_expected=round(continued, 2),
            saved_against_scrapping=round(realised - scrapped, 2),
            saved_against_continuing=round(realised - continued, 2),
            currency=process.currency,
        ),
    )


def fate(process: Process, outcome: dict[str, Any]) -> str:
    """How a part ended: in, out, scrapped or unknown (finished, but a reading that decides is missing)."""
    if outcome["disposition"] == "scrapped":
        return "scrapped"
    readings = [(process.measurements[name][1], outcome["observed"].get(name)) for name in process.conformance]
    if any(value is not None and not m.lower <= value <= m.upper for m, value in readings):
        return "out"
    return "unknown" if any(value is None for _, value in readings) else "in"


def _spent(process: Process, first: int, outcome: dict[str, Any], shared: Sharing) -> float:
    return math.fsum(
        step.cost
        + set_up(step, outcome, shared)
        + math.fsum(s.change_cost * abs(value - s.nominal) for s, value in off_nominal(step, outcome))
        for step in steps_run(process, outcome, first)
    )


def _spent_on_readings(process: Process, rows: list[Recommendation]) -> float:
    """A reading that was asked for counts as taken when the part came back with another question."""
    return math.fsum(
        process.steps[place].cost
        for row in rows[:-1]
        if row.answer["decision"] == "measure"
        for place in {process.measurements[name][0] for name in row.answer["measure"]}
    )


def _nominal(steps: Iterable[Step], run: set[str]) -> dict[str, float]:
    return {s.name: s.nominal for step in steps if not step.optional or step.name in run for s in step.settings}
