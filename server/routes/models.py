"""The registry of models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from qc.errors import Conflict
from segmentation.records import ModelState
from server import assigning, gate, golden_needs, registry, rivals
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.where import Where

router = APIRouter(tags=["models"])


class ModelJson(BaseModel):
    """A model. `figures` are of its validation parts; `decision` is its comparison with the champion of its time."""

    id: str
    alias: str | None
    """`champion`, `challenger`, or null."""
    state: ModelState
    created_at: datetime
    served_since: datetime | None
    figures: dict[str, Any]
    decision: dict[str, Any] | None
    classes: dict[str, str]
    dataset: dict[str, Any]


class PromotionWord(BaseModel):
    """What a person says with a promotion."""

    in_spite_of: str = Field(
        default="",
        max_length=500,
        description="Why it shall serve although golden parts speak against it; kept in the audit trail.",
    )


class AssignmentJson(BaseModel):
    """A product, a station, or a product at a station with a model of its own."""

    product: str = Field(description="Empty: whatever the product.")
    station: str = Field(description="Empty: at every station.")
    champion: str
    before: str | None
    challenger: str | None = Field(description="Looks on beside the champion there; null: nobody does.")
    since: datetime
    by: str


class AssignmentPage(BaseModel):
    """All of them; everything else has the champion."""

    items: list[AssignmentJson]


class Place(BaseModel):
    """Where a model serves."""

    product: str = Field(default="", max_length=64)
    station: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=500)

    @property
    def where(self) -> Where:
        """As the server says it."""
        return Where(self.product, self.station)


ProductQuery = Annotated[str, Query(max_length=64, description="Of this product's own champion; empty: of any.")]
StationQuery = Annotated[str, Query(max_length=64, description="Of this station's own champion; empty: at every one.")]


class ModelPage(BaseModel):
    """Models: the champion, then the newest."""

    items: list[ModelJson]


@router.get("/models")
def models(session: SessionDep, limit: int = 100) -> ModelPage:
    """Every model that was trained or installed here."""
    rows = registry.newest(session, limit=min(max(limit, 1), 500))
    return ModelPage(items=[ModelJson(**registry.as_json(row)) for row in rows])


@router.post("/models/rollback")
def rollback(who: IdentityDep, session: SessionDep, context: ContextDep) -> ModelJson:
    """The champion before this one serves again."""
    row = registry.rollback(session, context.events, by=who.name, at=context.now())
    session.commit()
    return ModelJson(**registry.as_json(row))


@router.post("/models/{id}/promote")
def promote(
    id: str, who: IdentityDep, session: SessionDep, context: ContextDep, word: PromotionWord | None = None
) -> ModelJson:
    """This model serves from now on. 409 while it errs on golden parts, unless a reason is given in spite of it."""
    row, reason = registry.get(session, id), f"promoted by {who.name}"
    missed = golden_needs.missing(session, context, id) if row.state != ModelState.RETIRED else []
    if missed and (word is None or not word.in_spite_of):
        golden_needs.ask(session, model=id, why=f"{who.name} wants to promote it", now=context.now())
        session.commit()
        raise Conflict(f"{'; '.join(missed)}; it looks at them now. To let it serve all the same, give `in_spite_of`")
    if missed and word is not None:
        reason += f" in spite of {'; '.join(missed)}: {word.in_spite_of}"
    before = registry.champion(session)
    row = registry.promote(session, context.events, id, by=who.name, at=context.now(), reason=reason)
    if before is not None:
        gate.look_back(context, session, before.id)
    session.commit()
    return ModelJson(**registry.as_json(row))


@router.get("/models/assignments")
def assignments(session: SessionDep) -> AssignmentPage:
    """Products and stations with a model of their own."""
    return AssignmentPage(items=[AssignmentJson(**assigning.as_json(own)) for own in assigning.all_of_them(session)])


@router.post("/models/{id}/assign", status_code=201)
def assign(id: str, place: Place, who: IdentityDep, session: SessionDep, context: ContextDep) -> AssignmentJson:
    """This model serves a product, a station, or a product at a station from now on. Golden parts count as for all. Who
    served there so far looks on, and comes back by itself when this one is proved to do worse there."""
    if missed := golden_needs.missing(session, context, id, product=place.product or None):
        raise Conflict(f"{'; '.join(missed)}; let it look at them by POST /golden-looks?model=…")
    before = rivals.champion(session, place.where)
    own = assigning.assign(
        session,
        context.events,
        id,
        where=place.where,
        by=who.name,
        at=context.now(),
        reason=place.reason or f"assigned by {who.name}",
    )
    if before is not None and before.id != id:
        gate.look_back(context, session, before.id, place.where)
    answer = AssignmentJson(**assigning.as_json(own))
    session.commit()
    return answer


@router.post("/models/assignments/rollback")
def roll_back_assignment(
    place: Place, who: IdentityDep, session: SessionDep, context: ContextDep
) -> AssignmentJson | None:
    """The model before serves there again; null: from now on the champion of all does."""
    own = assigning.roll_back(session, context.events, where=place.where, by=who.name, at=context.now())
    answer = AssignmentJson(**assigning.as_json(own)) if own else None
    session.commit()
    return answer
