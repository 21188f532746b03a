"""How much a station's verdicts may do: shadow, advise or decide; one step up with proof, down by itself.

| mode    | the line is told        | people see           | what counts                         |
|---------|-------------------------|----------------------|-------------------------------------|
| shadow  | `review`, nothing else  | what the model said  | the way parts were judged before    |
| advise  | `review`                | what the model said  | a person's word on every part       |
| decide  | the model's verdict     | the same             | the verdict, unless a person objects |

`Inspection.verdict` is what the line is told, so that nothing that reads it (REST, a PLC, events) can leak the model's
word by mistake; the model's own is in `Inspection.model_verdict`, and `Inspection.said` is one or the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from sqlmodel import Session

from qc.errors import Conflict, InvalidInput
from qc.records import Decision, Inspection
from qc.verdict import Verdict
from server import alarms, audit, modes_evidence
from server.context import Context
from server.gate_records import StationMode
from server.modes_evidence import Evidence

KIND = "station mode"
ALARM = "mode"


class Mode(StrEnum):
    """What a station's verdicts may do; from least to most."""

    SHADOW = "shadow"
    ADVISE = "advise"
    DECIDE = "decide"


ORDER = tuple(Mode)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an engineer wants of a station."""

    mode: Mode
    limit_a_day: float | None = None
    """Money that wrong verdicts may cost there in a day; None: as before."""
    limit_a_part: float | None = None
    """Mean cost of a part's verdict to be proved before a step up; None: as before."""
    reason: str = ""


def row_of(session: Session, station: str) -> StationMode | None:
    """What is set for a station; None: it decides, without a limit."""
    return session.get(StationMode, station)


def mode_of(session: Session, station: str) -> Mode:
    """The mode in which a station works."""
    row = row_of(session, station)
    return Mode(row.mode) if row else Mode.DECIDE


def hold_back(inspection: Inspection, mode: Mode) -> None:
    """Before a verdict is recorded: what the line is told of it, by its station's mode. A failure is held back, too."""
    inspection.mode = str(mode)
    if mode != Mode.DECIDE and inspection.verdict is not None:
        inspection.model_verdict = str(inspection.verdict)
        inspection.verdict = Verdict.REVIEW


def change(context: Context, session: Session, station: str, wish: Wish, *, by: str) -> StationMode:
    """Set a station's mode and limits; the caller commits.

    Down is always allowed. Up is one step at a time, with a limit for the day and proof from the step before.

    Raises:
        InvalidInput: a limit is not positive.
        Conflict: two steps at once, no limit, or not proved; it says what is missing.
    """
    for limit in (wish.limit_a_day, wish.limit_a_part):
        if limit is not None and not 0 < limit < float("inf"):
            raise InvalidInput(f"a limit must be a positive amount of money, not {limit}")
    row = row_of(session, station)
    before = Mode(row.mode) if row else Mode.DECIDE
    row = row or StationMode(station=station, mode=str(before), since=context.now(), by=by, reason="")
    row.limit_a_day = wish.limit_a_day if wish.limit_a_day is not None else row.limit_a_day
    row.limit_a_part = wish.limit_a_part if wish.limit_a_part is not None else row.limit_a_part
    told = ""
    steps = ORDER.index(wish.mode) - ORDER.index(before)
    if steps > 1:
        raise Conflict(f"{station} goes from {before} to {ORDER[ORDER.index(before) + 1]} first, one step at a time")
    if steps == 1:
        told = _proof(context, session, row, before).words
    if steps:
        row.mode, row.since = str(wish.mode), context.now()
    row.by, row.reason = by, wish.reason
    _keep(context, session, row, before, told=told, by=by)
    return row


def evidence(context: Context, session: Session, station: str) -> Evidence | None:
    """What a station has shown in its mode so far; None where nobody ever set one."""
    row = row_of(session, station)
    return modes_evidence.gather(context, session, row) if row else None


def after_decision(
    context: Context, session: Session, inspection: Inspection, exposures: list[Any], decision: Decision
) -> None:
    """A hook: a person's word that costs more than the day's limit steps the station down, in the same transaction.

    The day is that of the part: a word on yesterday's part, said today, counts for yesterday. A word whose cost nobody
    knows is taken, and an alarm says that it does not count.
    """
    row = row_of(session, inspection.station)
    if row is None or row.limit_a_day is None or row.mode == Mode.SHADOW or inspection.received_at < row.since:
        return
    now = context.now()
    cost = modes_evidence.cost_of_day(context, session, row, inspection.received_at)
    for product in cost.uncounted:
        _say_uncounted(context, session, row, product, inspection, now)
    if cost.amount <= row.limit_a_day:
        return
    before = Mode(row.mode)
    after = ORDER[ORDER.index(before) - 1]
    told = (
        f"wrong verdicts on parts of {inspection.received_at:%Y-%m-%d} cost {cost.amount:.2f} {cost.currency} at "
        f"{row.station}, more than the {row.limit_a_day:.2f} that they may: it steps down from {before} to {after}"
    )
    row.mode, row.since, row.by, row.reason = str(after), now, "server", told
    _keep(context, session, row, before, told=told, by="server")
    alarms.raise_once(
        session,
        context.events,
        kind=ALARM,
        station=row.station,
        what=str(before),
        message=told,
        since=cost.since,
        now=now,
        before=[],
        after=cost.wrong[: alarms.SHOWN],
        figures={"cost": round(cost.amount, 2), "limit_a_day": row.limit_a_day, "wrong": len(cost.wrong)},
    )


def _say_uncounted(
    context: Context, session: Session, row: StationMode, product: str, inspection: Inspection, now: datetime
) -> None:
    told = (
        f"wrong verdicts on parts of product {product} do not count for the limit of a day at {row.station}: its file "
        "does not say under `money` what they cost"
    )
    alarms.raise_once(
        session,
        context.events,
        kind=ALARM,
        station=row.station,
        what=f"money of {product}",
        message=told,
        since=inspection.received_at,
        now=now,
        before=[],
        after=[inspection.id],
        figures={"limit_a_day": row.limit_a_day},
    )


def start(context: Context) -> None:
    """Watch people's words; a line in `server.loop`."""
    context.after_decision.append(partial(after_decision, context))


def _proof(context: Context, session: Session, row: StationMode, before: Mode) -> Evidence:
    """The proof that a step up needs; raises Conflict, saying what is missing."""
    if row.limit_a_day is None:
        raise Conflict(f"say what wrong verdicts may cost at {row.station} in a day (limit_a_day) before a step up")
    shown = modes_evidence.gather(context, session, row)
    if not shown.proved:
        raise Conflict(f"{row.station} has not shown enough in mode {before} yet: {shown.words}")
    return shown


def _keep(context: Context, session: Session, row: StationMode, before: Mode, *, told: str, by: str) -> None:
    session.add(row)
    session.flush()
    body = {
        "from": str(before),
        "to": row.mode,
        "limit_a_day": row.limit_a_day,
        "limit_a_part": row.limit_a_part,
        "reason": row.reason,
        "evidence": told,
    }
    audit.record(session, KIND, row.station, body, by=by, at=context.now())
    context.events.on_commit(session, "station", {"id": row.station, "mode": row.mode})
