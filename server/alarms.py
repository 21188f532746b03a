"""Alarms: what is not as usual, since when, on which station, with pictures around it. Functions take the session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Session, col, select

from qc.errors import Conflict, NotFound
from server import audit
from server.events import EventBus
from server.watch_records import Alarm

log = structlog.get_logger(__name__)

SHOWN = 8
"""Inspections that an alarm names before and after: as many pictures as fit beside each other."""


def raise_once(
    session: Session,
    events: EventBus,
    *,
    kind: str,
    station: str,
    what: str,
    message: str,
    since: datetime,
    now: datetime,
    before: Sequence[str],
    after: Sequence[str],
    figures: dict[str, Any],
) -> Alarm | None:
    """Raise an alarm, or do nothing where the same one is open; the caller commits.

    Args:
        since: when it began.
        before: ids of the last inspections before that, newest last.
        after: ids of the first ones since.
    """
    same = select(Alarm).where(
        Alarm.kind == kind, Alarm.station == station, Alarm.what == what, col(Alarm.closed_at).is_(None)
    )
    if session.exec(same.limit(1)).first() is not None:
        return None
    alarm = Alarm(
        kind=kind,
        station=station,
        what=what,
        message=message,
        since=since,
        raised_at=now,
        before=list(before),
        after=list(after),
        figures=figures,
    )
    session.add(alarm)
    body = {"kind": kind, "station": station, "what": what, "message": message, "since": since.isoformat()}
    audit.record(session, "alarm", alarm.id, body, by="server", at=now)
    events.on_commit(session, "alarm", as_json(alarm))
    log.warning("alarm", kind=kind, station=station, message=message)
    return alarm


def close(
    session: Session,
    events: EventBus,
    alarm: Alarm,
    *,
    by: str,
    reason: str,
    now: datetime,
    relearn: bool = False,
) -> None:
    """Close an alarm; the caller commits. Raises Conflict when it is closed.

    Args:
        relearn: it is right as it is now: what is usual shall be learnt anew.
    """
    if alarm.closed_at is not None:
        raise Conflict(f"this alarm of {alarm.station} was closed by {alarm.closed_by}")
    alarm.closed_at, alarm.closed_by, alarm.reason = now, by, reason
    alarm.figures = {**alarm.figures, "relearn": relearn}
    session.add(alarm)
    audit.record(session, "alarm closed", alarm.id, {"reason": reason, "relearn": relearn}, by=by, at=now)
    events.on_commit(session, "alarm", as_json(alarm))


def get(session: Session, alarm_id: str) -> Alarm:
    """One alarm; raises NotFound."""
    if alarm := session.get(Alarm, alarm_id):
        return alarm
    raise NotFound(f"there is no alarm {alarm_id}")


def open_ones(session: Session, *, kind: str | None = None, station: str | None = None) -> list[Alarm]:
    """Alarms that nobody has closed, newest first."""
    return newest(session, kind=kind, station=station, only_open=True, limit=1000)


def newest(
    session: Session, *, kind: str | None = None, station: str | None = None, only_open: bool = False, limit: int = 100
) -> list[Alarm]:
    """Alarms, newest first."""
    wanted = select(Alarm).order_by(col(Alarm.id).desc()).limit(limit)
    if kind is not None:
        wanted = wanted.where(Alarm.kind == kind)
    if station is not None:
        wanted = wanted.where(Alarm.station == station)
    if only_open:
        wanted = wanted.where(col(Alarm.closed_at).is_(None))
    return list(session.exec(wanted))


def last_answer(session: Session, *, kind: str, station: str) -> datetime | None:
    """When a person last closed an alarm of this kind and station."""
    closed = select(Alarm).where(Alarm.kind == kind, Alarm.station == station, col(Alarm.closed_at).is_not(None))
    last = session.exec(closed.order_by(col(Alarm.closed_at).desc()).limit(1)).first()
    return last.closed_at if last else None


def as_json(alarm: Alarm) -> dict[str, Any]:
    """An alarm in the words of the interface."""
    told: dict[str, Any] = alarm.model_dump()
    moments = {name: told[name].isoformat() if told[name] else None for name in ("since", "raised_at", "closed_at")}
    return told | moments
