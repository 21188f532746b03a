"""The audit trail: a chain of entries, each sealed with the hash of the one before it.

An entry is written in the transaction of what it tells of. `verify` recomputes the chain and compares the entries with
the rows they tell of, so an altered verdict is found whether somebody altered the trail or the row. What a chain alone
cannot show is that its end was cut off: keep the head hash that `qc audit verify` prints somewhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Text, text
from sqlmodel import Field, Session, SQLModel, col, select

from qc.records import UtcDateTime

FIRST = "0" * 64
"""What the first entry names as its predecessor's seal."""


class AuditEntry(SQLModel, table=True):
    """One thing that was said or decided."""

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
    """SHA-256 over the previous seal and everything above, in hexadecimal."""


def canonical(body: Mapping[str, Any]) -> str:
    """JSON of which there is only one spelling."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def seal_of(previous: str, entry: AuditEntry) -> str:
    """The seal that an entry must bear after its predecessor's."""
    moment = entry.at.isoformat(timespec="microseconds")
    told = (previous, str(entry.n), moment, entry.kind, entry.subject, entry.by, entry.body)
    return hashlib.sha256(canonical({"told": told}).encode()).hexdigest()


def record(session: Session, kind: str, subject: str, body: Mapping[str, Any], *, by: str, at: datetime) -> AuditEntry:
    """Append an entry; it is kept if and only if the session's transaction is. Needs a writing session."""
    if session.get_bind().dialect.name == "postgresql":
        # on SQLite writers wait for each other anyway
        session.execute(text(f"LOCK TABLE {AuditEntry.__tablename__} IN EXCLUSIVE MODE"))
    session.flush()
    last = session.exec(select(AuditEntry).order_by(col(AuditEntry.n).desc()).limit(1)).first()
    n = last.n + 1 if last else 1
    entry = AuditEntry(n=n, at=at, kind=kind, subject=subject, by=by, body=canonical(body), seal="")
    entry.seal = seal_of(last.seal if last else FIRST, entry)
    session.add(entry)
    session.flush()
    return entry
