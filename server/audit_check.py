"""Is the audit trail whole, and does it still say what the rows say?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from process_opt.records import Recommendation
from qc.errors import Conflict
from qc.records import Decision, Exposure, Inspection, Progress
from server.audit import (
    ERASURE,
    FIRST,
    RECOMMENDATION,
    AuditEntry,
    canonical,
    erased_hash,
    old_seal_of,
    recommendation_body,
    seal_of,
)
from server.deciding import decision_body
from server.judging import verdict_body

BATCH = 500
"""Entries compared with their rows at a time."""
COMPARED = ("verdict", "decision", RECOMMENDATION)
"""Kinds whose rows must still say what their entries say."""
UNREADABLE = (ValueError, TypeError, LookupError, OperationalError)
"""What reading a row raises in which somebody left no date, no text, or no word that is known."""


def verify(session: Session) -> tuple[int, str]:
    """Number of entries, and the seal of the last one (keep it elsewhere: it shows when the end is cut off).

    Raises:
        Conflict: names the first entry that was altered, or what was judged or decided without an entry.
    """
    seal, number = FIRST, 0
    erased = _erased(session)
    for batch in _batches(session):
        told = _rows_as_they_are(session, batch)
        for entry in batch:
            number += 1
            if entry.n != number:
                raise Conflict(f"entry {number} is missing: the trail goes on with entry {entry.n}", n=number)
            if not _is_text(entry) or entry.seal not in (seal_of(seal, entry), old_seal_of(seal, entry)):
                raise Conflict(
                    f"entry {entry.n} ({entry.kind} of {entry.subject}, {entry.at:%Y-%m-%d %H:%M:%S}) was altered",
                    n=entry.n,
                )
            seal = entry.seal
            if erased_hash(entry) is not None:
                if entry.n not in erased:
                    raise Conflict(f"entry {entry.n} lost its words, and no erasure says so", n=entry.n)
                continue
            if entry.kind in COMPARED and told.get((entry.kind, entry.subject)) != entry.body:
                raise Conflict(
                    f"entry {entry.n} is whole, but the {entry.kind} that it tells of ({entry.subject}) was altered",
                    n=entry.n,
                )
    _check_nothing_is_untold(session)
    return number, seal


def _erased(session: Session) -> set[int]:
    """Entries that lost their words by an erasure; the erasures are entries of the trail, and checked as such."""
    found: set[int] = set()
    for n in session.exec(select(AuditEntry.n).where(AuditEntry.kind == ERASURE)).all():
        try:
            body = session.exec(select(AuditEntry.body).where(AuditEntry.n == n)).one()
            found.update(json.loads(body)["redacted"])
        except UNREADABLE:  # it was altered: the chain says so when it comes to this entry
            continue
    return found


def _batches(session: Session) -> Iterator[list[AuditEntry]]:
    last = 0
    while True:
        wanted = select(AuditEntry).where(col(AuditEntry.n) > last).order_by(col(AuditEntry.n)).limit(BATCH)
        try:
            batch = list(session.exec(wanted))
        except UNREADABLE:
            yield from _one_by_one(session, last)
            return
        if not batch:
            return
        yield batch
        last = batch[-1].n
        session.expunge_all()


def _one_by_one(session: Session, last: int) -> Iterator[list[AuditEntry]]:
    """The entries after one, up to that which cannot be read; raises Conflict there."""
    for n in session.exec(select(AuditEntry.n).where(col(AuditEntry.n) > last).order_by(col(AuditEntry.n))).all():
        try:
            entry = session.get_one(AuditEntry, n)
        except UNREADABLE as error:
            session.exec(select(AuditEntry.n).limit(1))  # a database that is away says so itself
            raise Conflict(f"entry {n} was altered: it cannot be read any more", n=n) from error
        yield [entry]


def _is_text(entry: AuditEntry) -> bool:
    """SQLite takes bytes where a text belongs."""
    return all(isinstance(said, str) for said in (entry.kind, entry.subject, entry.by, entry.body, entry.seal))


def _rows_as_they_are(session: Session, batch: Sequence[AuditEntry]) -> dict[tuple[str, str], str]:
    """As `_rows_now`; what cannot be read any more says nothing."""
    try:
        return _rows_now(session, batch)
    except UNREADABLE:
        told: dict[tuple[str, str], str] = {}
        for entry in batch:
            try:
                told |= _rows_now(session, [entry])
            except UNREADABLE:
                session.exec(select(AuditEntry.n).limit(1))  # a database that is away says so itself
        return told


def _rows_now(session: Session, batch: Sequence[AuditEntry]) -> dict[tuple[str, str], str]:
    """(kind, subject) -> what an entry would say if it were written from the rows as they are now."""
    subjects = {kind: [e.subject for e in batch if e.kind == kind] for kind in COMPARED}
    now: dict[tuple[str, str], str] = {}
    images: dict[str, list[Exposure]] = {}
    wanted = select(Exposure).where(col(Exposure.inspection_id).in_(subjects["verdict"])).order_by(col(Exposure.n))
    for exposure in session.exec(wanted):
        images.setdefault(exposure.inspection_id, []).append(exposure)
    for inspection in session.exec(select(Inspection).where(col(Inspection.id).in_(subjects["verdict"]))):
        now["verdict", inspection.id] = canonical(verdict_body(inspection, images.get(inspection.id, [])))
    for decision in session.exec(select(Decision).where(col(Decision.id).in_(subjects["decision"]))):
        now["decision", decision.id] = canonical(decision_body(decision))
    for advice in session.exec(select(Recommendation).where(col(Recommendation.id).in_(subjects[RECOMMENDATION]))):
        now[RECOMMENDATION, advice.id] = canonical(recommendation_body(advice))
    return now


def _check_nothing_is_untold(session: Session) -> None:
    """Every verdict and decision has an entry; otherwise the end of the trail was cut off, or a row was slipped in."""
    told = select(AuditEntry.subject)
    judged = select(Inspection.id).where(
        Inspection.progress != Progress.RECEIVED, col(Inspection.id).not_in(told.where(AuditEntry.kind == "verdict"))
    )
    decided = select(Decision.id).where(col(Decision.id).not_in(told.where(AuditEntry.kind == "decision")))
    for kind, untold in (("verdict", judged), ("decision", decided)):
        first = session.exec(untold.limit(1)).first()
        if first is not None:
            raise Conflict(f"the {kind} of {first} has no entry: the end of the trail was cut off, or a row slipped in")
