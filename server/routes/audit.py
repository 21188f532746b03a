"""The audit trail for people: read, filtered, taken away as a table, and checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput
from server import audit_check, loose_scan
from server.audit import AuditEntry
from server.context import ContextDep
from server.db import SessionDep

router = APIRouter(tags=["audit"])

BATCH = 1_000
"""Entries read at once for a table."""
LOOKS = 10_000
"""Entries that a page looks at for words, a name or a moment, which no index finds: tens of milliseconds."""
CLOCK = timedelta(days=1)
"""Entries are in the order of writing; their times are, up to clocks that were set back by less."""


class EntryJson(BaseModel):
    """One entry. `body` is its canonical JSON, as it was sealed."""

    n: int
    at: datetime
    kind: str
    subject: str
    by: str
    body: str
    seal: str


class TrailPage(BaseModel):
    """Entries, the newest first."""

    items: list[EntryJson] = Field(description="Fewer than asked for, or none, where none of those looked at fits.")
    next_before: int | None = Field(description="`before` of the page that follows; null: this is the last.")
    kinds: list[str] = Field(description="Every kind of entry there is.")


class Verified(BaseModel):
    """What checking the whole trail found."""

    whole: bool
    entries: int | None
    seal: str | None = Field(description="Of the last entry; keep it elsewhere.")
    problem: str | None = Field(description="The first entry that was altered.")


@router.get("/audit")
def trail(
    session: SessionDep,
    kind: str = "",
    by: str = "",
    words: str = "",
    since: datetime | None = None,
    before: int | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> TrailPage:
    """Entries, the newest first; `words` must occur in what an entry is about or says.

    A page looks at so many entries only, however few of them fit: the page that follows looks on from there.
    """
    wanted = _chosen(kind, by, words, since).limit(limit + 1)
    if before is not None:
        wanted = wanted.where(AuditEntry.n < before)
    last = _last_looked_at(session, kind, before) if by or words or since else None
    if last is not None:
        wanted = wanted.where(AuditEntry.n >= last.n)
    rows = list(session.exec(wanted))
    following: int | None = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = rows[-1].n
    elif last is not None and (since is None or last.at >= since - CLOCK):
        following = last.n
    kinds = sorted(loose_scan.values(session, col(AuditEntry.kind)))
    items = [EntryJson(**row.model_dump()) for row in rows]
    return TrailPage(items=items, next_before=following, kinds=kinds)


@router.get("/audit.csv", response_class=StreamingResponse)
def trail_as_table(
    context: ContextDep, kind: str = "", by: str = "", words: str = "", since: datetime | None = None
) -> StreamingResponse:
    """The same entries as a table, all of them."""
    wanted = _chosen(kind, by, words, since)

    def rows() -> Iterator[str]:
        yield "\ufeff" + _line(["n", "at", "kind", "subject", "by", "body", "seal"])
        last: int | None = None
        while True:
            with context.database.read() as session:
                page = wanted if last is None else wanted.where(AuditEntry.n < last)
                found = [row.model_dump() for row in session.exec(page.limit(BATCH))]
            yield "".join(
                _line([e["n"], e["at"].isoformat(), e["kind"], e["subject"], e["by"], e["body"], e["seal"]])
                for e in found
            )
            if len(found) < BATCH:
                return
            last = found[-1]["n"]

    name = 'attachment; filename="audit.csv"'
    return StreamingResponse(rows(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


@router.post("/audit/verify")
def verify(context: ContextDep) -> Verified:
    """Recompute the whole chain and compare it with what it tells of, as `qc audit verify` does."""
    try:
        with context.database.read() as session:  # it takes long, and changes nothing: nobody waits for it to write
            entries, seal = audit_check.verify(session)
    except Conflict as error:
        return Verified(whole=False, entries=None, seal=None, problem=error.message)
    return Verified(whole=True, entries=entries, seal=seal, problem=None)


def _last_looked_at(session: Session, kind: str, before: int | None) -> AuditEntry | None:
    """The entry at which a page ends that finds nothing; None: there are not so many."""
    order = select(AuditEntry.n).order_by(col(AuditEntry.n).desc()).offset(LOOKS - 1).limit(1)
    if kind:
        order = order.where(AuditEntry.kind == kind)
    if before is not None:
        order = order.where(AuditEntry.n < before)
    n = session.exec(order).first()
    return None if n is None else session.get(AuditEntry, n)


def _chosen(kind: str, by: str, words: str, since: datetime | None) -> Any:
    wanted = select(AuditEntry).order_by(col(AuditEntry.n).desc())
    if kind:
        wanted = wanted.where(AuditEntry.kind == kind)
    if by:
        wanted = wanted.where(AuditEntry.by == by)
    if words:
        has = col(AuditEntry.subject).contains(words, autoescape=True)
        wanted = wanted.where(has | col(AuditEntry.body).contains(words, autoescape=True))
    if since is not None:
        if since.tzinfo is None:
            raise InvalidInput("since must name its time zone, such as 2026-01-31T06:00:00Z")
        wanted = wanted.where(col(AuditEntry.at) >= since)
    return wanted


def _line(values: list[Any]) -> str:
    """One line of a table; what a spreadsheet would take for a formula is kept as text."""
    out = io.StringIO()
    csv.writer(out).writerow([f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for v in values])
    return out.getvalue()
