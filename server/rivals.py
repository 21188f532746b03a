"""A champion and its challenger: the registry's two aliases, or those of a product or station (`assigning`).

The gate looks at each pair on the parts that belong to it, by the same rules. Functions take the session; the caller
commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from qc.errors import Conflict
from segmentation.records import ModelState, ModelVersion
from server import assigning, registry
from server.events import EventBus
from server.gate_records import Assignment
from server.where import EVERYWHERE, Where

MOST = 4
"""Models that may look on at the same time: each is a process of half a GB beside the line."""
NO_ROOM = f"{MOST} other models look on already, each in a process of its own; decline one of them first"


@dataclass(frozen=True, slots=True)
class Rivals:
    """The model that serves somewhere, and the one that looks on beside it."""

    where: Where
    champion: ModelVersion
    challenger: ModelVersion
    returns: bool
    """The challenger served there before."""


def champion(session: Session, where: Where) -> ModelVersion | None:
    """The model that serves there: its own, else the champion of all; None before the first is installed."""
    own = session.get(Assignment, where)
    return registry.champion(session) if own is None else registry.get(session, own.champion)


def at(session: Session, where: Where) -> Rivals | None:
    """Who meets whom there; None where nobody looks on."""
    if where == EVERYWHERE:
        champion, challenger = registry.champion(session), registry.challenger(session)
        if champion is None or challenger is None:
            return None
        return Rivals(where, champion, challenger, challenger.state == ModelState.RETIRED)
    own = session.get(Assignment, where)
    if own is None or own.challenger is None:
        return None
    champion, challenger = (registry.get(session, model) for model in (own.champion, own.challenger))
    return Rivals(where, champion, challenger, own.challenger_served)


def all_pairs(session: Session, *, challenger: str | None = None) -> list[Rivals]:
    """Every pair, that of everywhere first; with `challenger` only those that this model is the challenger of."""
    places = [EVERYWHERE, *(Where(own.product, own.station) for own in assigning.all_of_them(session))]
    found = [at(session, where) for where in places]
    return [pair for pair in found if pair is not None and challenger in (None, pair.challenger.id)]


def name(session: Session, events: EventBus, model_id: str, *, where: Where, by: str, at: datetime) -> None:
    """A person lets a model look on there.

    Raises:
        NotFound: there is no such model.
        Conflict: it serves there, no model does, or too many look on.
    """
    registry.alone(session)
    if not room(session, model_id, where):
        raise Conflict(NO_ROOM)
    if where == EVERYWHERE:
        registry.challenge(session, events, model_id, by=by, at=at)
    else:
        assigning.challenge(session, events, model_id, where=where, served=False, by=by, at=at)


def offer(session: Session, events: EventBus, model_id: str, *, by: str, at: datetime) -> list[Where]:
    """A model that was retrained for everywhere looks on at every product and station that has a model of its own, as
    it learnt from their labels, too; each lets it serve by what is seen there. Where one that was retrained for that
    very place is proving itself, or too many look on, it is not offered. Returns where it was."""
    offered = []
    for own in assigning.all_of_them(session):
        where = Where(own.product, own.station)
        its_own = own.challenger is not None and made_for(registry.get(session, own.challenger)) == where
        if own.champion != model_id and not its_own and room(session, model_id, where):
            assigning.challenge(session, events, model_id, where=where, served=False, by=by, at=at)
            offered.append(where)
    return offered


def made_for(row: ModelVersion) -> Where:
    """Where a retraining compared a model with the champion, on parts of there; everywhere for all others."""
    decision = row.decision or {}
    return Where(str(decision.get("product", "")), str(decision.get("station", "")))


def look_back(session: Session, events: EventBus, before: str, *, where: Where, by: str, at: datetime) -> None:
    """The champion so far looks on beside its successor, so that it comes back should that one do worse; unless another
    model looks on there, or too many do."""
    if where == EVERYWHERE:
        if registry.challenger(session) is None:
            registry.challenge(session, events, before, by=by, at=at)
    elif assigning.get(session, where).challenger is None and room(session, before, where):
        assigning.challenge(session, events, before, where=where, served=True, by=by, at=at)


def promote(session: Session, events: EventBus, pair: Rivals, *, by: str, at: datetime, reason: str) -> None:
    """The challenger serves there from now on, and the champion so far looks on."""
    if pair.where == EVERYWHERE:
        registry.promote(session, events, pair.challenger.id, by=by, at=at, reason=reason)
    else:
        assigning.assign(session, events, pair.challenger.id, where=pair.where, by=by, at=at, reason=reason)
    look_back(session, events, pair.champion.id, where=pair.where, by=by, at=at)


def decline(session: Session, events: EventBus, pair: Rivals, *, by: str, at: datetime, reason: str) -> None:
    """The challenger looks on there no more."""
    if pair.where == EVERYWHERE:
        registry.reject(session, events, pair.challenger.id, by=by, at=at, reason=reason)
    else:
        assigning.end_challenge(session, events, where=pair.where, by=by, at=at, reason=reason)


def room(session: Session, model_id: str, where: Where) -> bool:
    """May one more model look on, in place of whoever does there?"""
    return len({pair.challenger.id for pair in all_pairs(session) if pair.where != where} | {model_id}) <= MOST
