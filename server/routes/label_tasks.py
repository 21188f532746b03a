"""Label tasks: what waits for a person, and what was labelled."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import and_, or_
from sqlmodel import col, select

from labeling.records import LabelTask, TaskState
from qc.errors import InvalidInput
from server.context import ContextDep
from server.db import SessionDep
from server.studio_service import task_url

router = APIRouter(tags=["label tasks"])


class LabelTaskJson(BaseModel):
    """A crop of an inspection that a person should label."""

    id: str
    inspection_id: str
    n: int = Field(description="Which image of the inspection.")
    part: str
    station: str
    view: str
    reason: Literal["review", "overruled", "sample"]
    urgency: float = Field(description="1 is next, 0 is whenever.")
    state: TaskState
    problem: str | None
    opened_at: datetime
    closed_at: datetime | None
    url: str | None = Field(description="Where to label it; null until it is in Label Studio.")
    crop: list[int] = Field(description="x, y, width, height in pixels of the image.")


class LabelTaskPage(BaseModel):
    """Label tasks: the most urgent first, then the oldest."""

    items: list[LabelTaskJson]
    next_cursor: str | None


@router.get("/label-tasks")
def label_tasks(
    session: SessionDep,
    context: ContextDep,
    state: TaskState | None = None,
    cursor: str | None = None,
    limit: int = Query(50, ge=1, le=500),
) -> LabelTaskPage:
    """The label tasks, the next one to do first."""
    wanted = select(LabelTask).order_by(col(LabelTask.urgency).desc(), col(LabelTask.id))
    if state is not None:
        wanted = wanted.where(LabelTask.state == state)
    if cursor:
        urgency, last = _cursor(cursor)
        later = or_(col(LabelTask.urgency) < urgency, and_(col(LabelTask.urgency) == urgency, col(LabelTask.id) > last))
        wanted = wanted.where(later)
    rows = list(session.exec(wanted.limit(limit + 1)))
    shown = rows[:limit]
    following = f"{shown[-1].urgency!r}~{shown[-1].id}" if len(rows) > limit else None
    items = [
        LabelTaskJson(
            id=row.id,
            inspection_id=row.inspection_id,
            n=row.n,
            part=row.part,
            station=row.station,
            view=row.view,
            reason=row.reason.value,
            urgency=row.urgency,
            state=row.state,
            problem=row.problem,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
            url=task_url(context, row),
            crop=row.crop.as_list(),
        )
        for row in shown
    ]
    return LabelTaskPage(items=items, next_cursor=following)


def _cursor(text: str) -> tuple[float, str]:
    urgency, _, last = text.partition("~")
    try:
        return float(urgency), last
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a cursor that this list gave") from error
