"""Champions of a product or a station of their own. Functions take a writing session; the caller commits.

The registry's champion serves everything else. A challenger of the gate meets the registry's champion alone: parts that
another model judged do not count for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput, NotFound
from server import audit, registry
from server.events import EventBus
from server.gate_records import Assignment


def assign(
    session: Session,
    events: EventBus,
    model_id: str,
    *,
    product: str,
    station: str,
    by: str,
    at: datetime,
    reason: str,
) -> Assignment:
    """Let a model serve a product, a station, or a product at a station, from now on.

    Raises:
        NotFound: there is no such model.
        InvalidInput: neither product nor station is named.
        Conflict: it serves there already.
    """
    if not product and not station:
        raise InvalidInput("name a product or a station; the champion of all is promoted without either")
    row = registry.get(session, model_id)
    own = session.get(Assignment, (product, station))
    if own is not None and own.champion == row.id:
        raise Conflict(f"{model_id} serves {words(product, station)} already")
    before = own.champion if own else None
    own = own or Assignment(product=product, station=station, champion=row.id, since=at, by=by)
    own.champion, own.before, own.since, own.by = row.id, before, at, by
    session.add(own)
    _tell(session, events, own, "assignment", reason=reason, by=by, at=at)
    return own


def roll_back(
    session: Session, events: EventBus, *, product: str, station: str, by: str, at: datetime
) -> Assignment | None:
    """The model before this one serves there again; None: there was none, so that the champion of all does.

    Raises:
        NotFound: the product or station has no model of its own.
    """
    own = session.get(Assignment, (product, station))
    if own is None:
        raise NotFound(f"{words(product, station)} has no model of its own; roll back the champion of all instead")
    if own.before is None:
        session.delete(own)
        own.champion = ""
        _tell(session, events, own, "assignment ended", reason=f"rolled back by {by}", by=by, at=at)
        return None
    own.champion, own.before, own.since, own.by = own.before, None, at, by
    session.add(own)
    _tell(session, events, own, "assignment", reason=f"rolled back by {by}", by=by, at=at)
    return own


def all_of_them(session: Session) -> list[Assignment]:
    """Every product and station with a model of its own."""
    return list(session.exec(select(Assignment).order_by(col(Assignment.product), col(Assignment.station))))


def words(product: str, station: str) -> str:
    """Where, in words."""
    return " at ".join(name for name in (product, station) if name)


def as_json(own: Assignment) -> dict[str, Any]:
    """In the words of the interface."""
    return own.model_dump()


def _tell(
    session: Session, events: EventBus, own: Assignment, kind: str, *, reason: str, by: str, at: datetime
) -> None:
    body = {"product": own.product, "station": own.station, "model": own.champion, "reason": reason}
    audit.record(session, kind, f"{own.product}/{own.station}", body, by=by, at=at)
    events.on_commit(session, "model", {"id": own.champion, "product": own.product, "station": own.station})
