"""Features that outlive what may be known of their parts: the vectors of a month, without the parts.

Kept are encoder, product, station, month, classes and the vector. Neither the part nor the moment, nor the score, which
the part's own record has too; ids are random, and rows are written in random order. A month loses its parts together,
as soon as its first day's time is over; what fewer than `LEAST_PARTS` parts of a station and month have in common (a
class that was seen once) could be told from their records, and is not kept. Nobody can find a part's vectors among
these again, so that an erasure does not reach them, and needs not.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, tuple_
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from qc.records import Inspection
from server.db import Database
from server.features_records import IMAGE, AnonymousFeature, Feature, Suggestion

LEAST_PARTS = 5
"""So many parts of a station and month must have product, encoder and classes in common."""
AT_ONCE = 500
"""Vectors of one transaction: a line waits for it."""

Key = tuple[str, int, int]
_KEY = tuple_(col(Feature.inspection_id), col(Feature.n), col(Feature.defect))


def anonymise(database: Database, *, before: datetime, now: datetime) -> Iterator[int]:
    """Let the months that began before `before`, and are over, lose their parts; cut off, it goes on where it was.

    Yields:
        How many vectors each transaction carried over.
    """
    while (begin := _oldest(database)) is not None and begin < before and (after := _next_month(begin)) <= now:
        with database.read() as session:
            groups = _groups(session, begin, after)
        kept = [key for keys in groups for key in keys]
        random.SystemRandom().shuffle(kept)
        for first in range(0, len(kept), AT_ONCE):
            yield _carry(database, kept[first : first + AT_ONCE], f"{begin:%Y-%m}")
        with database.write() as session:  # what too few have in common
            _forget(session, begin, after)
            session.commit()


def forget_before(session: Session, moment: datetime) -> int:
    """Forget the vectors of months that ended before `moment`; how many. The caller commits."""
    month = f"{moment.astimezone(UTC):%Y-%m}"
    gone = session.connection().execute(delete(AnonymousFeature).where(col(AnonymousFeature.month) < month))
    return int(gone.rowcount)


def _oldest(database: Database) -> datetime | None:
    """The first moment of the month of the oldest vector that still has its part."""
    with database.read() as session:
        oldest = session.execute(sql_select(func.min(col(Feature.at)))).scalar()
    return None if oldest is None else datetime(oldest.year, oldest.month, 1, tzinfo=UTC)


def _next_month(begin: datetime) -> datetime:
    return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def _groups(session: Session, begin: datetime, after: datetime) -> list[list[Key]]:
    """Vectors of a month that have all in common that is kept of them, of at least `LEAST_PARTS` parts each."""
    key = col(Feature.inspection_id), col(Feature.n), col(Feature.defect)
    alike = col(Feature.product), col(Feature.station), col(Feature.encoder), col(Feature.kind), col(Feature.label)
    columns: list[Any] = [*key, *alike, col(Inspection.part)]
    wanted = sql_select(*columns).join(Inspection, col(Inspection.id) == col(Feature.inspection_id))
    keys: dict[tuple[Any, ...], list[Key]] = defaultdict(list)
    parts: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for inspection, n, defect, *same, part in session.execute(
        wanted.where(col(Feature.at) >= begin, col(Feature.at) < after)
    ):
        group = (*same, defect == IMAGE)
        keys[group].append((inspection, n, defect))
        parts[group].add(part)
    return [found for group, found in keys.items() if len(parts[group]) >= LEAST_PARTS]


def _carry(database: Database, keys: list[Key], month: str) -> int:
    """The vectors of these keys, without them, in another order; whole or not at all."""
    with database.write() as session:
        rows = list(session.exec(select(Feature).where(_KEY.in_(keys))))
        random.SystemRandom().shuffle(rows)
        for row in rows:
            session.add(
                AnonymousFeature(
                    encoder=row.encoder,
                    station=row.station,
                    product=row.product,
                    month=month,
                    whole=row.defect == IMAGE,
                    kind=row.kind,
                    label=row.label,
                    vector=row.vector,
                )
            )
        session.execute(delete(Feature).where(_KEY.in_(keys)))
        session.commit()
    return len(rows)


def _forget(session: Session, begin: datetime, after: datetime) -> None:
    """What is left of a month with its parts, and what was suggested of these."""
    received = col(Inspection.received_at)
    old = sql_select(col(Inspection.id)).where(received >= begin, received < after)
    session.execute(delete(Suggestion).where(col(Suggestion.inspection_id).in_(old)))
    session.execute(delete(Feature).where(col(Feature.at) >= begin, col(Feature.at) < after))
