"""How many parts a station saw, and how they were judged, in some time of one product. Functions take the session."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col

from qc.records import Inspection
from qc.verdict import Verdict

Tally = Counter[tuple[str, Verdict | None]]
"""(station, verdict) -> inspections; None: not judged yet."""


def from_rows(
    session: Session, *, begin: datetime | None = None, before: datetime | None = None, product: str | None = None
) -> Tally:
    """Each inspection looked at that was received from `begin` to before `before`; None: whenever, of whichever."""
    # by what follows from the station: grouped by the column itself, SQLite walks through all that ever came
    station = func.coalesce(col(Inspection.station), "")
    wanted = sql_select(station, col(Inspection.verdict), func.count())
    if product is not None:
        wanted = wanted.where(col(Inspection.product) == product)
    if begin is not None:
        wanted = wanted.where(col(Inspection.received_at) >= begin)
    if before is not None:
        wanted = wanted.where(col(Inspection.received_at) < before)
    grouped = session.execute(wanted.group_by(station, col(Inspection.verdict)))
    return Counter({(station, verdict): int(number) for station, verdict, number in grouped})


def as_json(tally: Tally) -> list[Any]:
    """For the database; `from_json` gives the same back."""
    return [[station, verdict, number] for (station, verdict), number in tally.items()]


def from_json(told: list[Any]) -> Tally:
    """What `as_json` gave."""
    return Counter({(station, Verdict(verdict) if verdict else None): number for station, verdict, number in told})
