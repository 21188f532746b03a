"""How many parts a station has seen, and how they were judged, without counting all of them at each asking.

What is judged and an hour old changes no more: it is counted once and kept in memory, and each asking counts the rest.
An erasure makes all of it be counted anew, and so does a day, as another server process may have erased something.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col

from qc.records import NOT_JUDGED, Inspection
from qc.verdict import Verdict

CLOSED_AFTER = timedelta(hours=1)
"""Then an inspection that is judged has the verdict that it keeps: deadlines are of seconds."""
ANEW_AFTER_S = 86400.0
"""All is counted anew after so long."""

Tally = Counter[tuple[str, Verdict | None]]
"""(station, verdict) -> inspections; None: not judged yet."""


@dataclass
class _Closed:
    """What is kept of one database."""

    counted_at: float = -math.inf
    """`time.monotonic()`."""
    upto: str = ""
    """Id of the newest inspection among them."""
    tally: Tally = field(default_factory=Counter)


_closed: WeakKeyDictionary[Engine, _Closed] = WeakKeyDictionary()
_lock = threading.Lock()


def counts(session: Session, *, now: datetime) -> Tally:
    """Every inspection, by station and verdict."""
    engine = session.get_bind().engine
    with _lock:
        closed = _closed.get(engine)
        if closed is None or time.monotonic() - closed.counted_at > ANEW_AFTER_S:
            closed = _Closed(counted_at=time.monotonic())
        until = _closed_upto(session, now - CLOSED_AFTER)
        if until > closed.upto:
            closed = _Closed(closed.counted_at, until, closed.tally + _count(session, closed.upto, until))
        _closed[engine] = closed
    return closed.tally + _count(session, closed.upto, None)


def forget(engine: Engine) -> None:
    """Count anew: inspections were erased."""
    with _lock:
        _closed.pop(engine, None)


def _closed_upto(session: Session, moment: datetime) -> str:
    """The newest that came before `moment`, and before the oldest that is not judged yet."""
    newest = sql_select(col(Inspection.id)).order_by(col(Inspection.received_at).desc()).limit(1)
    waiting = session.execute(sql_select(func.min(col(Inspection.id))).where(NOT_JUDGED)).scalar()
    row = session.execute(newest.where(col(Inspection.received_at) <= moment)).first()
    if row is None or waiting is None or row[0] < waiting:
        return str(row[0]) if row else ""
    before = sql_select(func.max(col(Inspection.id))).where(col(Inspection.id) < waiting)
    return session.execute(before).scalar() or ""


def _count(session: Session, after: str, until: str | None) -> Tally:
    wanted = sql_select(col(Inspection.station), col(Inspection.verdict), func.count())
    wanted = wanted.where(col(Inspection.id) > after)
    if until is not None:
        wanted = wanted.where(col(Inspection.id) <= until)
    grouped = wanted.group_by(col(Inspection.station), col(Inspection.verdict))
    return Counter({(station, verdict): int(number) for station, verdict, number in session.execute(grouped)})
