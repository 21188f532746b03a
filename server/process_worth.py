"""What the trial of a process's advice says: lots from what was answered, money from what came of the parts.

Functions take a session; nothing is written: the lot stands in the answer that was kept when the part was asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlmodel import Session, col, select

from process_opt import worth
from process_opt.process import Process
from process_opt.records import Outcome, Recommendation
from process_opt.serving import Trial, serving_of
from server.process_money import account, ended_in, speaks_of
from server.process_set_ups import sharing

PATIENCE = timedelta(days=14)
"""Parts count in the order of their lots, or those that finish sooner (scrapped ones) would be seen first; a part that
has no outcome after so long is lost, and the others no longer wait for it."""


class WorthJson(BaseModel):
    """Whether following the advice is worth money. Money a part in the process's currency, from the lot on."""

    trial: str
    parts: int
    """Parts with a lot and a known end that count so far."""
    advised: int
    """Of these, given to the advice by lot."""
    waiting: int
    """Parts with a lot that do not count yet: their outcome, or that of an earlier one, is open."""
    lost: dict[str, int]
    """By arm: parts whose end nobody told or measured. Many, or many more on one side, make the result doubtful."""
    gain: float
    """Estimate of what following is worth."""
    low: float
    high: float
    """95 %: holds at every look, however often one looks."""
    evidence: float
    """Against "worth nothing, or less": 40 is proof."""
    claim: str | None
    """`better`, `worse`, or null: not known."""
    gained: float
    """`gain` times the parts that were given to the advice."""
    currency: str
    words: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    arm: str
    share: float
    if_advised: float
    if_usual: float
    rows: list[Recommendation]
    """From the lot on."""


def trial_worth(session: Session, name: str, process: Process, *, now: datetime) -> WorthJson | None:
    """What the process's present trial says; None where no trial is allowed."""
    trial = serving_of(process).trial
    if trial is None:
        return None
    drawn = _lots(session, process, name, trial)
    known = select(Outcome).where(Outcome.process == name)
    outcomes = {o.part: o for o in session.exec(known) if o.part in drawn and ended_in(process, o.content)}
    shared = sharing(session, name, process, [o.content for o in outcomes.values()])
    lots, waiting, lost = list[worth.Lot](), 0, {worth.ADVICE: 0, worth.USUAL: 0}
    for part, lot in drawn.items():
        outcome = outcomes.get(part)
        if waiting or (outcome is None and lot.rows[0].asked_at > now - PATIENCE):
            waiting += 1
            continue
        money = None if outcome is None else account(process, lot.rows, outcome.content, shared).realised
        if money is None:
            lost[lot.arm] += 1
        else:
            lots.append(worth.Lot(lot.arm, lot.share, money, lot.if_advised, lot.if_usual))
    found = worth.weigh(lots, *worth.money_bounds(process))
    return WorthJson(
        trial=trial.name,
        parts=found.parts,
        advised=found.advised,
        waiting=waiting,
        lost=lost,
        gain=round(found.gain, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        evidence=round(found.evidence, 4),
        claim=found.claim,
        gained=round(found.gain * found.advised, 2),
        currency=process.currency,
        words=worth.in_words(found, process.currency),
    )


def _lots(session: Session, process: Process, name: str, trial: Trial) -> dict[str, _Drawn]:
    """Each part's first lot in this trial, in the order in which they were drawn; none of steps that are gone."""
    found: dict[str, _Drawn] = {}
    asked = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id))
    for row in session.exec(asked):
        if not speaks_of(process, row):
            continue
        if row.part in found:
            found[row.part].rows.append(row)
        elif (lot := row.answer.get("trial")) and lot["name"] == trial.name:
            found[row.part] = _Drawn(lot["arm"], lot["share"], lot["if_advised"], lot["if_usual"], [row])
    return found
