"""The wall screen: every line and station at a glance, as of now. Functions take the session."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field
from sqlalchemy import case, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from qc.charts import Proportion, runs
from qc.drift import GROUP, LEARN, Charts
from qc.records import Exposure, Inspection
from qc.verdict import Verdict
from server import alarms
from server.context import Context
from server.db import Database
from server.gate_records import StationMode
from server.inspections import camera_faults
from server.loose_scan import newest_of_each
from server.watch_records import Alarm
from server.word_records import CallState, OperatorCall

RATE_OVER = timedelta(hours=1)
"""What is counted: parts an hour, and how many of them were not good."""
QUIET_AFTER = timedelta(minutes=10)
"""Without a part for so long a station stands, or its shift is over."""
ALL_EVERY_S = 60.0
"""Stations that stand are looked for so often: a question for each, and a wall screen asks every two seconds."""
SEEN_WITHIN = timedelta(days=7)
"""A station that sent nothing for so long is not shown, unless `lines` names it."""

State = Literal["fault", "call", "alarm", "running", "quiet", "never"]


class Trend(BaseModel):
    """The share of parts that the model does not call ok, group by group, against its control limits (a p-chart)."""

    learnt: int = Field(description="Parts from which the usual share is known so far.")
    learn: int = Field(description="Parts that it takes; until then there are no limits.")
    group: int = Field(description="Parts of one point.")
    usual: float
    lower: float = Field(description="Three standard deviations below the usual, at least 0.")
    upper: float
    points: list[float] = Field(description="Oldest first.")
    rule: str = Field(description="Which rule for control charts the newest point breaks; empty: none.")


class CameraTrouble(BaseModel):
    """A camera whose newest picture cannot be trusted."""

    view: str
    fault: str
    inspection_id: str


class WallAlarm(BaseModel):
    """An open alarm."""

    id: str
    kind: str
    message: str
    since: datetime


class WallStation(BaseModel):
    """One station at a glance."""

    name: str
    state: State = Field(description="The worst of what holds: fault of a camera, call, alarm; else running or quiet.")
    mode: Literal["shadow", "advise", "decide"]
    product: str
    last_at: datetime | None
    hour: int = Field(description="Parts in the last hour.")
    ng: int = Field(description="Of these not good.")
    review: int
    trend: Trend | None = Field(description="Null before the first verdict of a model.")
    cameras: list[CameraTrouble]
    alarms: list[WallAlarm]
    calls: int


class WallLine(BaseModel):
    """A line; its name is empty for stations that belong to none."""

    name: str
    stations: list[WallStation]


class WallCall(BaseModel):
    """Somebody waits for the team leader."""

    id: str
    inspection_id: str
    part: str
    station: str
    question: str
    by: str
    due_at: datetime


class Wall(BaseModel):
    """All of it."""

    at: datetime
    lines: list[WallLine]
    calls: list[WallCall] = Field(description="Those due soonest first.")


def look(context: Context, session: Session) -> Wall:
    """Everything as of now."""
    now = context.now()
    counted = _counted(session, since=now - RATE_OVER)
    of_hour = {name: count.newest for name, count in counted.items()}
    newest = _newest(context, session, of_hour, since=now - SEEN_WITHIN)
    faults = _faults(session, list(newest.values()))
    open_alarms: dict[str, list[Alarm]] = defaultdict(list)
    for alarm in alarms.open_ones(session):
        open_alarms[alarm.station].append(alarm)
    calls = _calls(session)
    modes = {row.station: row.mode for row in session.exec(select(StationMode))}

    def station(name: str) -> WallStation:
        last = newest.get(name)
        here = [call for call in calls if call.station == name]
        hour = counted.get(name, _Count())
        trouble, raised = faults.get(last.id, []) if last else [], open_alarms.get(name, [])
        return WallStation(
            name=name,
            state=_state(last, trouble, here, raised, now),
            mode=modes.get(name, "decide"),  # type: ignore[arg-type]
            product=last.product if last else "",
            last_at=last.received_at if last else None,
            hour=hour.parts,
            ng=hour.ng,
            review=hour.review,
            trend=_trend(context, session, last),
            cameras=trouble,
            alarms=[WallAlarm(id=a.id, kind=a.kind, message=a.message, since=a.since) for a in raised],
            calls=len(here),
        )

    named = {name for stations in context.settings.lines.values() for name in stations}
    lines = [
        WallLine(name=line, stations=[station(name) for name in stations])
        for line, stations in context.settings.lines.items()
    ]
    others = sorted(set(newest) - named)
    if others:
        lines.append(WallLine(name="", stations=[station(name) for name in others]))
    return Wall(at=now, lines=lines, calls=calls)


def trend_of(charts: Charts) -> Trend:
    """A station's chart as it is drawn."""
    chart = Proportion(charts.usual, GROUP)
    return Trend(
        learnt=len(charts.scores),
        learn=LEARN,
        group=GROUP,
        usual=charts.usual,
        lower=chart.share(-3.0),
        upper=chart.share(3.0),
        points=[round(chart.share(deviation), 6) for deviation in charts.deviations],
        rule=runs(charts.deviations),
    )


def _state(
    last: Inspection | None,
    trouble: Sequence[CameraTrouble],
    calls: Sequence[WallCall],
    raised: Sequence[Alarm],
    now: datetime,
) -> State:
    if trouble:
        return "fault"
    if calls:
        return "call"
    if raised:
        return "alarm"
    if last is None:
        return "never"
    return "running" if now - last.received_at < QUIET_AFTER else "quiet"


@dataclass
class _Known:
    """Newest inspections as they were lately: who sent nothing since is looked for once a minute, not every second."""

    at: float = -math.inf
    """`time.monotonic()`."""
    ids: dict[str, str] = field(default_factory=dict)


_known: WeakKeyDictionary[Database, _Known] = WeakKeyDictionary()


def _newest(
    context: Context, session: Session, of_hour: Mapping[str, str], *, since: datetime
) -> dict[str, Inspection]:
    """Station -> its newest inspection; those of late, and those that belong to a line.

    Args:
        of_hour: station -> its newest inspection's id, of those that sent something in the last hour.
    """
    known = _known.setdefault(context.database, _Known())
    if time.monotonic() - known.at > ALL_EVERY_S:
        last = newest_of_each(session, col(Inspection.station), col(Inspection.id))
        known.at, known.ids = time.monotonic(), last
    ids = {**known.ids, **of_hour}
    kept = {name for stations in context.settings.lines.values() for name in stations}
    rows = session.exec(select(Inspection).where(col(Inspection.id).in_(ids.values())))
    return {row.station: row for row in rows if row.received_at > since or row.station in kept}


@dataclass(frozen=True, slots=True)
class _Count:
    """What a station did in the last hour."""

    parts: int = 0
    ng: int = 0
    review: int = 0
    newest: str = ""


def _counted(session: Session, *, since: datetime) -> dict[str, _Count]:
    """Station -> what it did since then."""

    def count(verdict: Verdict) -> Any:
        return func.sum(case((col(Inspection.verdict) == verdict, 1), else_=0))

    newest = func.max(col(Inspection.id))
    # by what follows from the station: grouped by the column itself, SQLite walks through all that ever came
    station = func.coalesce(col(Inspection.station), "")
    counted = (
        sql_select(station, func.count(), count(Verdict.NG), count(Verdict.REVIEW), newest)
        .where(col(Inspection.received_at) > since)
        .group_by(station)
    )
    return {
        name: _Count(int(parts), int(ng), int(review), id) for name, parts, ng, review, id in session.execute(counted)
    }


def _faults(session: Session, newest: list[Inspection]) -> dict[str, list[CameraTrouble]]:
    """Inspection -> its cameras at fault."""
    found: dict[str, list[CameraTrouble]] = defaultdict(list)
    for seen in camera_faults(session, [row.id for row in newest]):
        exposure = session.get(Exposure, (seen.inspection_id, seen.n))
        view = (exposure.view if exposure else "") or str(seen.n + 1)
        found[seen.inspection_id].append(CameraTrouble(view=view, fault=seen.fault, inspection_id=seen.inspection_id))
    return found


def _calls(session: Session) -> list[WallCall]:
    waiting = (
        select(OperatorCall, Inspection.part)
        .join(Inspection, col(Inspection.id) == col(OperatorCall.inspection_id))
        .where(OperatorCall.state == CallState.OPEN)
        .order_by(col(OperatorCall.due_at))
    )
    return [
        WallCall(
            id=call.id,
            inspection_id=call.inspection_id,
            part=part,
            station=call.station,
            question=call.question,
            by=call.by,
            due_at=call.due_at,
        )
        for call, part in session.exec(waiting)
    ]


def _trend(context: Context, session: Session, last: Inspection | None) -> Trend | None:
    """Of the model that judged last; what failed was judged by none."""
    if last is None or last.model is None or context.drift is None:
        return None
    return trend_of(context.drift.charts(session, (last.station, last.product, last.model)))
