"""The registry of models."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from segmentation.records import ModelState
from server import registry
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep

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
def promote(id: str, who: IdentityDep, session: SessionDep, context: ContextDep) -> ModelJson:
    """This model serves from now on."""
    row = registry.promote(session, context.events, id, by=who.name, at=context.now(), reason=f"promoted by {who.name}")
    session.commit()
    return ModelJson(**registry.as_json(row))
