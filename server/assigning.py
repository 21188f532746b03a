"""Champions of a product or a station of their own, and their challengers. Functions take a writing session; the caller
commits.

The registry's champion serves everything else, and meets the registry's challenger. Here each has its own: parts that
another model judged, or that belong elsewhere, do not count for it (`server.rivals`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput, NotFound
from server import audit, registry
from server.events import EventBus
from server.gate_records import Assignment
from server.where import EVERYWHERE, Where


def get(session: Session, where: Where) -> Assignment:
    """A product or station with a model of its own; raises NotFound."""
    if (own := session.get(Assignment, where)) is not None:
        return own
    raise NotFound(f"{where.words} has no model of its own; the champion of all serves there")


def assign(
    session: Session,
    events: EventBus,
    model_id: str,
    *,
    where: Where,
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
    if where == EVERYWHERE:
        raise InvalidInput("name a product or a station; the champion of all is promoted without either")
    registry.alone(session)
    row = registry.get(session, model_id)
    own = session.get(Assignment, where)
    if own is not None and own.champion == row.id:
        raise Conflict(f"{model_id} serves {where.words} already")
    before = own.champion if own else None
    own = own or Assignment(product=where.product, station=where.station, champion=row.id, since=at, by=by)
    _swap(session, own, row.id, before=before, by=by, at=at)
    _tell(session, events, own, "assignment", reason=reason, by=by, at=at)
    return own


def roll_back(session: Session, events: EventBus, *, where: Where, by: str, at: datetime) -> Assignment | None:
    """The model before this one serves there again; None: there was none, so that the champion of all does.

    Raises:
        NotFound: the product or station has no model of its own.
    """
    registry.alone(session)
    own = get(session, where)
    if own.before is None:
        session.delete(own)
        own.champion = ""
        _tell(session, events, own, "assignment ended", reason=f"rolled back by {by}", by=by, at=at)
        return None
    _swap(session, own, own.before, before=None, by=by, at=at)
    _tell(session, events, own, "assignment", reason=f"rolled back by {by}", by=by, at=at)
    return own


def challenge(
    session: Session, events: EventBus, model_id: str, *, where: Where, served: bool, by: str, at: datetime
) -> Assignment:
    """Let a model look on beside the one that serves a product or a station.

    Where the champion of all serves there, it becomes that product's or station's own: from then on each goes its way.

    Args:
        served: it served there before the champion did (`Assignment.challenger_served`).

    Raises:
        NotFound: there is no such model.
        Conflict: it serves there, or no model does.
    """
    registry.alone(session)
    row, own = registry.get(session, model_id), session.get(Assignment, where)
    if own is None:
        champion = registry.champion(session)
        if champion is None:
            raise Conflict("no model serves yet that another one could challenge; promote one first")
        if champion.id == row.id:
            raise Conflict(f"{model_id} serves {where.words}; a challenger must be another model")
        reason = f"it served there as the champion of all; {model_id} looks on"
        own = assign(session, events, champion.id, where=where, by=by, at=at, reason=reason)
    if own.champion == row.id:
        raise Conflict(f"{model_id} serves {where.words}; a challenger must be another model")
    body = {"model": row.id, "product": own.product, "station": own.station, "before": own.challenger}
    own.challenger, own.challenger_served = row.id, served
    session.add(own)
    audit.record(session, "challenge", row.id, body, by=by, at=at)
    _changed(session, events, row.id, own)
    return own


def end_challenge(session: Session, events: EventBus, *, where: Where, by: str, at: datetime, reason: str) -> None:
    """Nobody looks on there any more."""
    registry.alone(session)
    own = get(session, where)
    body = {"model": own.challenger, "product": own.product, "station": own.station, "reason": reason}
    own.challenger, own.challenger_served = None, False
    session.add(own)
    audit.record(session, "challenge ended", f"{own.product}/{own.station}", body, by=by, at=at)
    _changed(session, events, own.champion, own)


def all_of_them(session: Session) -> list[Assignment]:
    """Every product and station with a model of its own."""
    return list(session.exec(select(Assignment).order_by(col(Assignment.product), col(Assignment.station))))


def as_json(own: Assignment) -> dict[str, Any]:
    """In the words of the interface."""
    return own.model_dump(exclude={"challenger_served"})


def _swap(session: Session, own: Assignment, champion: str, *, before: str | None, by: str, at: datetime) -> None:
    own.champion, own.before, own.since, own.by = champion, before, at, by
    if own.challenger == champion:
        own.challenger, own.challenger_served = None, False
    session.add(own)
    session.flush()


def _tell(
    session: Session, events: EventBus, own: Assignment, kind: str, *, reason: str, by: str, at: datetime
) -> None:
    body = {"product": own.product, "station": own.station, "model": own.champion, "reason": reason}
    audit.record(session, kind, f"{own.product}/{own.station}", body, by=by, at=at)
    _changed(session, events, own.champion, own)


def _changed(session: Session, events: EventBus, model: str, own: Assignment) -> None:
    events.on_commit(session, "model", {"id": model, "product": own.product, "station": own.station})
