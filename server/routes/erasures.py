"""Erasing a part, a batch, a customer or a person, and what was erased."""

from __future__ import annotations

import json
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from server import erasure, erasure_scope
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.jobs import queue
from server.routes.jobs import JobJson

router = APIRouter(tags=["erasures"])


class ErasureIn(BaseModel):
    """Which part, or the parts of which batch or customer, shall go, and why."""

    part: str | None = Field(default=None, min_length=1, max_length=128)
    batch: str | None = Field(default=None, min_length=1, max_length=128)
    customer: str | None = Field(
        default=None, min_length=1, max_length=128, description="As the file of a product names it."
    )
    reason: str = Field(min_length=1, max_length=500, description="Kept in the audit trail: do not name the part here.")

    @model_validator(mode="after")
    def _one(self) -> ErasureIn:
        if sum(name is not None for name in (self.part, self.batch, self.customer)) != 1:
            raise ValueError("name a part, a batch or a customer, and one of them only")
        return self


class PersonIn(BaseModel):
    """Whose name shall go, and why."""

    name: str = Field(min_length=1, max_length=128, description="As it stands beside what the person did.")
    reason: str = Field(min_length=1, max_length=500, description="Kept in the audit trail: do not name the person.")


class PersonOut(BaseModel):
    """What was done about a person's name."""

    pseudonym: str
    rows: int = Field(description="Where it took the name's place.")
    account: bool = Field(description="Whether there was an account; its badges and log-ins went with it.")
    entries_that_still_name_it: int = Field(description="Of the audit trail, which keeps who did what.")


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
    """Erase all that is known of one part or of many: pictures, crops, masks, tasks in Label Studio, rows, logs."""
    if wish.batch is not None:
        parts = erasure_scope.of_batch(session, wish.batch)
    elif wish.customer is not None:
        parts = erasure_scope.of_customer(session, wish.customer, context.policies)
    else:
        parts = [wish.part or ""]
    asked = erasure.ask(session, parts, wish.reason, by=who.name, now=context.now())
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


@router.post("/erasures/person")
def erase_person(wish: PersonIn, session: SessionDep, who: IdentityDep, context: ContextDep) -> PersonOut:
    """Put a word in place of a person's name, the same everywhere but in the audit trail, and remove the account."""
    home = context.settings.folder(".")
    told = erasure_scope.forget_person(session, home, wish.name, wish.reason, by=who.name, now=context.now())
    session.commit()
    return PersonOut(**told)


@router.get("/erasures")
def erasures(session: SessionDep, limit: int = 100) -> Tombstones:
    """What was erased: when, by whom, why, how much, and which models had seen it."""
    items = []
    for entry in erasure.tombstones(session, limit=min(max(limit, 1), 500)):
        body = json.loads(entry.body)
        told = {name: body[name] for name in ("reason", "inspections", "images", "models_that_saw_it")}
        items.append(Tombstone(id=entry.subject, at=entry.at, by=entry.by, **told))
    return Tombstones(items=items)
