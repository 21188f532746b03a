"""The audit trail: a chain of entries, each sealed with the hash of the one before it.

An entry is written in the transaction of what it tells of. `verify` recomputes the chain and compares the entries with
the rows they tell of, so an altered verdict is found whether somebody altered the trail or the row. What a chain alone
cannot show is that its end was cut off: keep the head hash that `qc audit verify` prints somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Text, func, or_
from sqlmodel import Field, Session, SQLModel, col, select

from process_opt.records import Recommendation
from qc.records import UtcDateTime
from server.db import last_of_all

ERASURE = "erasure"
"""Kind of the entry that says which entries lost their words, and why."""

RECOMMENDATION = "recommendation"
"""Kind of the entry of what was advised of a part."""

FIRST = "0" * 64
"""What the first entry names as its predecessor's seal."""

_LOCK = 7_153_521
"""A number that nobody else uses for an advisory lock in a PostgreSQL: of whoever lengthens the chain."""


class AuditEntry(SQLModel, table=True):
    """One thing that was said or decided."""

    __table_args__ = (Index("ix_auditentry_kind_n", "kind", "n"),)

    n: int = Field(primary_key=True)
    """1 and up, without gaps."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    kind: str
    """verdict, decision, promotion, …"""
    subject: str = Field(index=True)
    """Id of the row it tells of."""
    by: str
    """Account, key, or `server`."""
    body: str = Field(sa_column=Column(Text, nullable=False))
    """Canonical JSON: sorted names, no blanks."""
    seal: str
    """SHA-256 over the previous seal, everything above but the body, and the body's own hash; in hexadecimal."""


def canonical(body: Mapping[str, Any]) -> str:
    """JSON of which there is only one spelling."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def recommendation_body(row: Recommendation) -> dict[str, Any]:
    """What the trail says of an advice: its decision, and what was asked and answered by their hashes."""
    told = {"process": row.process, "part": row.part, "at": row.at, "decision": row.answer.get("decision")}
    hashes = {n: hashlib.sha256(canonical(getattr(row, n)).encode()).hexdigest() for n in ("request", "answer")}
    return told | {"model": row.answer.get("model")} | hashes


def seal_of(previous: str, entry: AuditEntry) -> str:
    """The seal that an entry must bear after its predecessor's."""
    moment = entry.at.isoformat(timespec="microseconds")
    told = (previous, str(entry.n), moment, entry.kind, entry.subject, entry.by, body_hash(entry))
    return hashlib.sha256(canonical({"told": told}).encode()).hexdigest()


def old_seal_of(previous: str, entry: AuditEntry) -> str:
    """The seal as entries bore it before words could be erased: over the body itself."""
    moment = entry.at.isoformat(timespec="microseconds")
    told = (previous, str(entry.n), moment, entry.kind, entry.subject, entry.by, entry.body)
    return hashlib.sha256(canonical({"told": told}).encode()).hexdigest()


def body_hash(entry: AuditEntry) -> str:
    """SHA-256 of an entry's body; of an entry whose words were erased, the one that they had."""
    return erased_hash(entry) or hashlib.sha256(entry.body.encode()).hexdigest()


def erased_hash(entry: AuditEntry) -> str | None:
    """The hash that stands for erased words; None where the words are there."""
    found = re.fullmatch(r'\{"erased":"([0-9a-f]{64})"\}', entry.body)
    return found[1] if found else None


def naming(session: Session, part: str, subjects: Collection[str], *, after: int = 0) -> list[AuditEntry]:
    """Entries beyond number `after` that tell of one of `subjects` or name the part, but erasures.

    All of them are looked through: a session that writes should ask for those alone that came since it was done.
    """
    quoted = canonical({"": part})[4:-1]  # as it stands in JSON, with its quotes
    mine = or_(col(AuditEntry.subject).in_(subjects), col(AuditEntry.body).contains(quoted, autoescape=True))
    wanted = select(AuditEntry).where(AuditEntry.n > after, mine, AuditEntry.kind != ERASURE)
    return list(session.exec(wanted.order_by(col(AuditEntry.n))))


def length(session: Session) -> int:
    """Number of the last entry; 0 while there is none."""
    return session.exec(select(func.max(AuditEntry.n))).one() or 0


def redact(session: Session, entry: AuditEntry) -> bool:
    """Take an entry's words away and leave their hash, so that its seal still holds; the caller commits.

    Returns:
        False for an entry that was sealed before this was possible: its words must stay, or the chain would break.
    """
    if erased_hash(entry) is not None:
        return True
    before = session.get(AuditEntry, entry.n - 1)
    if seal_of(before.seal if before else FIRST, entry) != entry.seal:
        return False
    entry.body = canonical({"erased": body_hash(entry)})
    session.add(entry)
    session.flush()
    return True


def has(session: Session, kind: str, subject: str, body: Mapping[str, Any]) -> bool:
    """Does the trail tell exactly this? For whoever does not know whether a commit was done."""
    same = AuditEntry.kind == kind, AuditEntry.subject == subject, AuditEntry.body == canonical(body)
    return session.exec(select(AuditEntry.n).where(*same).limit(1)).first() is not None


def record(session: Session, kind: str, subject: str, body: Mapping[str, Any], *, by: str, at: datetime) -> AuditEntry:
    """Append an entry; it is kept if and only if the session's transaction is. Needs a writing session.

    Returns:
        The entry. Its number and seal it gets as the last thing before the commit (`server.db.last_of_all`): until then
        it cannot be read from the database, either.
    """
    entry = AuditEntry(n=0, at=at, kind=kind, subject=subject, by=by, body=canonical(body), seal="")
    last_of_all(session, lambda: _append(session, entry))
    return entry


def _append(session: Session, entry: AuditEntry) -> None:
    """Put an entry at the end of the chain, which no other transaction lengthens before this one has ended."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite writers wait for each other anyway
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = select(AuditEntry.n, AuditEntry.seal).order_by(col(AuditEntry.n).desc()).limit(1)
    n, seal = session.connection().execute(last).first() or (0, FIRST)
    entry.n = n + 1
    entry.seal = seal_of(seal, entry)
    session.add(entry)
    session.flush()
