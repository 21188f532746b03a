"""How many parts a station has seen, and how they were judged, without counting all of them at each asking.

What is judged and an hour old changes no more: it is added up once and kept in memory, and each asking counts the rest.
It is added up from days that are kept in the database (`money_sums`), and from the rows of all others. An erasure makes
that be done anew, and so does a day, as another server process may have erased something.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from qc.records import NOT_JUDGED, Inspection
from server import loose_scan, money_sums, station_days
from server.station_days import Tally

CLOSED_AFTER = timedelta(hours=1)
"""Then an inspection that is judged has the verdict that it keeps: deadlines are of seconds."""
ANEW_AFTER_S = 86400.0
"""All is added up anew after so long."""


@dataclass
class _Closed:
    """What is kept of one database."""

    added_up_at: float = -math.inf
    """`time.monotonic()`."""
    before: datetime | None = None
    """Every inspection that was received before is among them."""
    tally: Tally = field(default_factory=Counter)


_closed: WeakKeyDictionary[Engine, _Closed] = WeakKeyDictionary()
_lock = threading.Lock()


def counts(session: Session, *, now: datetime) -> Tally:
    """Every inspection, by station and verdict."""
    engine = session.get_bind().engine
    with _lock:
        closed = _closed.get(engine)
        until = _closed_before(session, now)
        if closed is None or closed.before is None or time.monotonic() - closed.added_up_at > ANEW_AFTER_S:
            closed = _Closed(time.monotonic(), until, _all_before(session, until))
        elif until > closed.before:
            more = station_days.from_rows(session, begin=closed.before, before=until)
            closed = _Closed(closed.added_up_at, until, closed.tally + more)
        _closed[engine] = closed
    return closed.tally + station_days.from_rows(session, begin=closed.before)


def forget(engine: Engine) -> None:
    """Add up anew: inspections were erased."""
    with _lock:
        _closed.pop(engine, None)


def _closed_before(session: Session, now: datetime) -> datetime:
    """A moment before which everything that was received is judged, and old enough."""
    # all of the few that wait, by their index: for the least of them PostgreSQL would walk through all that ever came
    waiting: list[datetime] = list(session.exec(select(Inspection.received_at).where(NOT_JUDGED)))
    return min([now - CLOSED_AFTER, *waiting])


def _all_before(session: Session, moment: datetime) -> Tally:
    """Every inspection that was received before: days that are kept, and the others from their rows."""
    total: Tally = Counter()
    for product in loose_scan.values(session, col(Inspection.product)):
        upto: datetime | None = None
        for begin, tally in money_sums.kept_stations(session, product, moment):
            if upto is None or upto < begin:
                total += station_days.from_rows(session, product=product, begin=upto, before=begin)
            total, upto = total + tally, begin + money_sums.DAY
        total += station_days.from_rows(session, product=product, begin=upto, before=moment)
    return total
