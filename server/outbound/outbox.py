"""The outbox: what has not been told yet, in the database. Functions take the session; the caller commits.

A message is written in the transaction of what it tells of, so that it is there if and only if that is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from qc.errors import Conflict, NotFound
from server import audit
from server.db import Database
from server.outbound.records import OutboundAddress, OutboundDelivery, OutboundMessage

AT_ONCE = 1000
"""Rows named in one statement: databases take so many names."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an address."""

    messages: int
    oldest_at: datetime | None


def add(session: Session, message: OutboundMessage, addresses: Iterable[str]) -> None:
    """Keep a message for these addresses."""
    session.add(message)
    session.flush()
    assert message.n is not None, "the database has numbered it"
    for name in addresses:
        session.add(OutboundDelivery(address=name, message_n=message.n))


def oldest(session: Session, address: str) -> OutboundMessage | None:
    """What an address is to be told next."""
    wanted = (
        select(OutboundMessage)
        .join(OutboundDelivery, col(OutboundDelivery.message_n) == col(OutboundMessage.n))
        .where(OutboundDelivery.address == address)
        .order_by(col(OutboundMessage.n))
    )
    return session.exec(wanted.limit(1)).first()


@contextmanager
def alone(database: Database, address: str) -> Iterator[bool]:
    """Whether an address is this server's to tell meanwhile, and no other's on the same database (PostgreSQL): so that
    two servers neither tell it something twice nor in another order. A server that dies holds nothing."""
    if database.dialect != "postgresql":
        yield True
        return
    with database.read() as session:
        lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"qc outbox {address}", 0))
        yield bool(session.execute(sql_select(lock)).scalar_one())


def waiting(session: Session, address: str) -> Waiting:
    """How much waits for an address, and since when."""
    counted = select(func.count()).where(col(OutboundDelivery.address) == address)
    first = oldest(session, address)
    return Waiting(int(session.exec(counted).one()), first.at if first else None)


def row_of(session: Session, address: str) -> OutboundAddress:
    """The row of an address; made when it is missing."""
    row = session.get(OutboundAddress, address)
    if row is None:
        row = OutboundAddress(name=address)
        session.add(row)
        session.flush()
    return row


def delivered(session: Session, address: str, n: int, *, now: datetime) -> OutboundAddress:
    """An address has been told message `n`."""
    _forget(session, address, [n])
    row = row_of(session, address)
    row.delivered += 1
    row.failures, row.failing_since = 0, None
    row.last_attempt_at = row.last_delivered_at = now
    session.add(row)
    return row


def failed(session: Session, address: str, why: str, *, now: datetime) -> OutboundAddress:
    """An attempt failed; the message stays first."""
    row = row_of(session, address)
    row.failures += 1
    row.failing_since = row.failing_since or now
    row.last_attempt_at, row.last_error = now, why[:500]
    session.add(row)
    return row


def drop_excess(session: Session, address: str, keep: int) -> int:
    """Drop the oldest of too many, a thousand at most; returns how many."""
    excess = min(waiting(session, address).messages - keep, AT_ONCE)
    if excess <= 0:
        return 0
    wanted = select(OutboundDelivery.message_n).where(OutboundDelivery.address == address)
    gone = list(session.exec(wanted.order_by(col(OutboundDelivery.message_n)).limit(excess)))
    _forget(session, address, gone)
    row = row_of(session, address)
    row.dropped += len(gone)
    session.add(row)
    return len(gone)


def switch_off(session: Session, address: str, reason: str, *, now: datetime) -> OutboundAddress:
    """Keep nothing more for an address and tell it nothing more; what waits stays."""
    row = row_of(session, address)
    row.off_at, row.off_reason = now, reason[:500]
    session.add(row)
    audit.record(session, "outbound off", address, {"reason": row.off_reason}, by="server", at=now)
    return row


def resume(session: Session, address: str, *, by: str, now: datetime) -> OutboundAddress:
    """Switch an address on again, or end its pause; the caller wakes its sender."""
    row = row_of(session, address)
    if row.off_at is not None:
        audit.record(session, "outbound on", address, {"off_since": row.off_at.isoformat()}, by=by, at=now)
    row.off_at, row.off_reason = None, ""
    row.failures, row.failing_since = 0, None
    session.add(row)
    return row


def skip(session: Session, address: str, message_id: str, reason: str, *, by: str, now: datetime) -> OutboundAddress:
    """A person gives up a message that its receiver will not take, so that those behind it go on.

    Raises:
        NotFound: nothing waits for the address.
        Conflict: another message is first; so nobody skips one that went out in the meantime.
    """
    first = oldest(session, address)
    if first is None or first.n is None:
        raise NotFound(f"nothing waits for {address}")
    if first.id != message_id:
        raise Conflict(f"message {message_id} is not the first that waits for {address} any more", first=first.id)
    _forget(session, address, [first.n])
    row = row_of(session, address)
    row.dropped += 1
    session.add(row)
    body = {"address": address, "kind": first.kind, "reason": reason}
    audit.record(session, "outbound skipped", first.id, body, by=by, at=now)
    return row


def forget_part(session: Session, part: str, inspections: Collection[str]) -> int:
    """Erase a part: messages about it go, told or not, and alarms lose its inspections; returns how many went."""
    mine = list(session.exec(select(OutboundMessage.n).where(OutboundMessage.part == part)))
    session.execute(delete(OutboundDelivery).where(col(OutboundDelivery.message_n).in_(mine)))
    session.execute(delete(OutboundMessage).where(col(OutboundMessage.n).in_(mine)))
    for one in session.exec(select(OutboundMessage).where(OutboundMessage.kind == "alarm")):
        body: dict[str, Any] = json.loads(one.body)
        kept = {name: [i for i in body["data"].get(name, []) if i not in inspections] for name in ("before", "after")}
        if any(kept[name] != body["data"].get(name, []) for name in kept):
            body["data"] |= kept
            one.body = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            session.add(one)
    return len(mine)


def leave(session: Session, address: str, *, by: str, now: datetime) -> int:
    """Forget an address that is in the file no more, with all that waits for it; returns how much that was."""
    count = waiting(session, address).messages
    session.execute(delete(OutboundDelivery).where(col(OutboundDelivery.address) == address))
    session.execute(delete(OutboundAddress).where(col(OutboundAddress.name) == address))
    audit.record(session, "outbound forgotten", address, {"messages": count}, by=by, at=now)
    sweep(session)
    return count


def sweep(session: Session) -> None:
    """Remove messages that nobody waits for, such as where two last addresses were told at the same moment."""
    named = select(OutboundDelivery.message_n)
    session.execute(delete(OutboundMessage).where(col(OutboundMessage.n).not_in(named)))


def _forget(session: Session, address: str, numbers: Collection[int | None]) -> None:
    """An address need not be told these; a message that nobody waits for goes."""
    told = delete(OutboundDelivery).where(
        col(OutboundDelivery.address) == address, col(OutboundDelivery.message_n).in_(numbers)
    )
    session.execute(told)
    still = select(OutboundDelivery.message_n).where(col(OutboundDelivery.message_n).in_(numbers))
    gone = delete(OutboundMessage).where(col(OutboundMessage.n).in_(numbers), col(OutboundMessage.n).not_in(still))
    session.execute(gone)
