"""Erasing a part, and what was erased."""

from __future__ import annotations

import json
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import erasure
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.jobs import queue
from server.routes.jobs import JobJson

router = APIRouter(tags=["erasures"])


class ErasureIn(BaseModel):
    """Which part shall go, and why."""

    part: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500, description="Kept in the audit trail: do not name the part here.")


class Tombstone(BaseModel):
    """What stays of an erased part."""

    id: str
    at: datetime
    by: str
    reason: str
    inspections: int
    images: int
    models_that_saw_it: list[str]


class Tombstones(BaseModel):
    """Erasures, newest first."""

    items: list[Tombstone]


@router.post("/erasures", status_code=202)
def erase(wish: ErasureIn, session: SessionDep, who: IdentityDep, context: ContextDep) -> JobJson:
    """Erase everything that is known of a part: pictures, crops, masks, tasks in Label Studio, rows, traces in logs."""
    asked = erasure.ask(session, wish.part, wish.reason, by=who.name, now=context.now())
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


@router.get("/erasures")
def erasures(session: SessionDep, limit: int = 100) -> Tombstones:
    """What was erased: when, by whom, why, how much, and which models had seen it."""
    items = []
    for entry in erasure.tombstones(session, limit=min(max(limit, 1), 500)):
        body = json.loads(entry.body)
        told = {name: body[name] for name in ("reason", "inspections", "images", "models_that_saw_it")}
        items.append(Tombstone(id=entry.subject, at=entry.at, by=entry.by, **told))
    return Tombstones(items=items)
