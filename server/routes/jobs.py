"""Jobs: what is being done in the background, and a retraining by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import retrain_asking
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.jobs import queue
from server.jobs.records import JobState
from server.routes.models import Place
from server.where import EVERYWHERE

router = APIRouter(tags=["jobs"])


class JobJson(BaseModel):
    """A job; `progress` is 0..1 or null where unknown."""

    id: str
    kind: str
    product: str = Field(description="Of which it is; empty, as `station`: of all.")
    station: str
    state: JobState
    progress: float | None
    message: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    problem: str | None
    result: dict[str, Any] | None


class JobPage(BaseModel):
    """Jobs, newest first."""

    items: list[JobJson]


@router.get("/jobs")
def jobs(session: SessionDep, kind: str | None = None, state: JobState | None = None, limit: int = 100) -> JobPage:
    """The newest jobs."""
    found = queue.newest(session, kind=kind, state=state, limit=min(max(limit, 1), 500))
    return JobPage(items=[JobJson(**queue.as_json(job)) for job in found])


@router.get("/jobs/{id}")
def job(id: str, session: SessionDep) -> JobJson:
    """One job."""
    return JobJson(**queue.as_json(queue.get(session, id)))


@router.post("/jobs/retrain", status_code=202)
def retrain(who: IdentityDep, session: SessionDep, context: ContextDep, place: Place | None = None) -> JobJson:
    """Train a challenger on all labels there are, and compare it with the champion; joins a retraining under way.
    With a product or a station: on the labels of there, against the model that serves there, to serve there alone."""
    where = place.where if place else EVERYWHERE
    why = f"asked for by {who.name}" + (f": {place.reason}" if place and place.reason else "")
    asked = retrain_asking.ask(session, now=context.now(), why=why, where=where)
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer
