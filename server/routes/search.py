"""Finding things by their names, or by how these begin."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from server import process_service, products, search
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.routes import process_batches

router = APIRouter(tags=["search"])


class HitJson(BaseModel):
    """Something that was found."""

    kind: search.Kind
    name: str
    id: str = Field(description="Of a part its newest inspection; of a batch its process.")


class Hits(BaseModel):
    """What was found, a few of each kind."""

    items: list[HitJson]


@router.get("/search")
def find(
    q: Annotated[str, Query(min_length=1, max_length=128)], who: IdentityDep, session: SessionDep, context: ContextDep
) -> Hits:
    """Parts whose names begin so, the inspection with that id; models, batches, stations, products, classes and people
    for those who have pages of them."""
    batches = (
        (line.batch, version.name)
        for version in process_service.all_current(session)
        for line in process_batches.newest(context, version.name)
    )
    found = search.find(session, q, role=who.role, products=products.known(session, context), batches=batches)
    return Hits(items=[HitJson(kind=one.kind, name=one.name, id=one.id) for one in found])
