"""Were the chances that advice promised kept? Per decision, per promised chance, and what that did to the promises.

Counted from what was answered and what came of the parts; functions take a session, nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import BaseModel
from sqlmodel import Session, col, select

from process_opt.learn import WITHDRAWN
from process_opt.model import ProcessModel
from process_opt.records import Outcome, Recommendation
from server.money import clopper_pearson
from server.process_money import ended_in, fate, speaks_of, was_followed

ENDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Of the classes of promised chances: finer where parts usually lie, and where an escape is decided."""
WIDER = 1.05
"""Promises count as widened from here on; an interval wider by less nobody would tell apart from the one before."""
LEVEL = 0.9

State = Literal["no outcome", "as promised", "widened", "withdrawn"]


class Share(BaseModel):
    """Promised beside kept, of finished parts with which was done what was advised."""

    parts: int
    promised: float | None
    """Mean chance to conform."""
    kept: float | None
    """Share of them that conformed."""
    low: float | None
    high: float | None
    """90 %, of `kept` (Clopper and Pearson 1934)."""


class OfDecision(Share):
    """Of the parts whose last advice was this decision. Nothing is promised of a part that is scrapped, measured
    first, or about which the advice abstained."""

    decision: str
    advised: int
    """Parts that were told so last."""
    known: int
    """Of these, parts with an outcome."""
    followed: int
    """Of these, parts with which was done what was advised."""


class OfChance(Share):
    """Of the parts to which a chance from `low_end` up to `high_end` was promised."""

    low_end: float
    high_end: float


class SinceFit(BaseModel):
    """What the model itself took in since it was fitted: chances as seen half way, of all finished parts."""

    finished: int
    promised: float | None
    kept: float | None


class PromisesJson(BaseModel):
    """Whether promises are kept, and what follows from it."""

    state: State
    evidence: float
    """Money of a bettor against the promises who began with 1."""
    needed: float
    """At so much advice is withdrawn."""
    since_fit: SinceFit
    wider: dict[str, float]
    """By deciding reading: how much wider its intervals are than the bare fit has them."""
    decisions: list[OfDecision]
    chances: list[OfChance]


def promises(session: Session, name: str, model: ProcessModel) -> PromisesJson:
    """Promised beside kept for a process, as its present model has it."""
    told = model.learnt.get("promises", {})
    count = int(told.get("finished", 0))
    wealth = told.get("wealth") or [1.0]
    wider = {
        reading: round(float(np.sqrt(factor)), 4)
        for reading, factor in zip(model.process.conformance, model.check.get("widen", []), strict=False)
    }
    state: State = "as promised" if count else "no outcome"
    if told.get("withdrawn"):
        state = "withdrawn"
    elif count and max(wider.values(), default=1.0) >= WIDER:
        state = "widened"
    decisions, kept = _counted(session, name, model)
    return PromisesJson(
        state=state,
        evidence=round(float(np.mean(wealth)), 4),
        needed=WITHDRAWN,
        since_fit=SinceFit(
            finished=count,
            promised=round(float(told["promised"]) / count, 4) if count else None,
            kept=round(float(told["kept"]) / count, 4) if count else None,
        ),
        wider=wider,
        decisions=decisions,
        chances=[
            OfChance(low_end=low, high_end=high, **_share(mine).model_dump())
            for low, high in pairwise(ENDS)
            if (mine := [one for one in kept if low <= one[0] < high or one[0] == high == ENDS[-1]])
        ],
    )


def _counted(session: Session, name: str, model: ProcessModel) -> tuple[list[OfDecision], list[tuple[float, bool]]]:
    """By decision; and every promise that could be checked: chance, and whether the part conformed."""
    process = model.process
    outcomes = {o.part: o.content for o in session.exec(select(Outcome).where(Outcome.process == name))}
    advice: dict[str, list[Recommendation]] = {}
    asked = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id))
    for row in session.exec(asked):
        if speaks_of(process, row):
            advice.setdefault(row.part, []).append(row)
    tally: dict[str, list[int]] = {}
    checked: dict[str, list[tuple[float, bool]]] = {}
    for part, rows in advice.items():
        last = rows[-1].answer
        counts = tally.setdefault(last["decision"], [0, 0, 0])
        counts[0] += 1
        outcome = outcomes.get(part)
        if outcome is None or not ended_in(process, outcome):
            continue
        counts[1] += 1
        if last["decision"] == "measure" or not was_followed(process, rows, outcome):
            continue
        counts[2] += 1
        came = fate(process, outcome)
        chance = last.get("p_conform")
        if last["decision"] in ("continue", "correct") and chance is not None and came in ("in", "out"):
            checked.setdefault(last["decision"], []).append((float(chance), came == "in"))
    order = ("correct", "continue", "scrap", "measure", "abstain")
    decisions = [
        OfDecision(
            decision=decision,
            advised=tally[decision][0],
            known=tally[decision][1],
            followed=tally[decision][2],
            **_share(checked.get(decision, [])).model_dump(),
        )
        for decision in order
        if decision in tally
    ]
    return decisions, [one for mine in checked.values() for one in mine]


def _share(kept: Sequence[tuple[float, bool]]) -> Share:
    if not kept:
        return Share(parts=0, promised=None, kept=None, low=None, high=None)
    hits, count = sum(good for _, good in kept), len(kept)
    low, high = clopper_pearson(hits, count, LEVEL)
    return Share(
        parts=count,
        promised=round(sum(chance for chance, _ in kept) / count, 4),
        kept=round(hits / count, 4),
        low=round(low, 4),
        high=round(high, 4),
    )
