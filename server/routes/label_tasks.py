"""Label tasks: what waits for a person, and what was labelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from labeling.records import Annotation, LabelTask, TaskState
from qc.errors import InvalidInput
from qc.records import Exposure
from server.access import ENGINEERS
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.studio_service import task_url

router = APIRouter(tags=["label tasks"])


class ShownJson(BaseModel):
    """How much of what a person should see of an inspection is on its tasks, all together."""

    defects: int = Field(description="Blemishes that lie on the tasks.")
    of: int = Field(description="Blemishes that should; 0 where what the model missed is searched for.")
    area: float = Field(description="Share of the images' area that the tasks show.")


class DrawnJson(BaseModel):
    """What one person drew on a crop."""

    by: str
    drawn: dict[str, int] | None = Field(description="Class to the number of defects; null: collected before counted.")


class LabelTaskJson(BaseModel):
    """A crop of an inspection that a person should label."""

    id: str
    inspection_id: str
    n: int = Field(description="Which image of the inspection.")
    part: str
    station: str
    view: str
    reason: Literal["review", "overruled", "sample", "drift"]
    urgency: float = Field(description="1 is next, 0 is whenever.")
    state: TaskState
    problem: str | None
    opened_at: datetime
    closed_at: datetime | None
    url: str | None = Field(description="Where to label it; null until it is in Label Studio.")
    crop: list[int] = Field(description="x, y, width, height in pixels of the image.")
    width: int | None = Field(description="Of the whole image, px, as `height`: which zoom tiles show the crop.")
    height: int | None
    reasons: dict[str, float] = Field(
        description="What speaks for it: uncertainty, disagreement, novelty, rarity, each 0..1; empty: not weighed yet."
    )
    shown: ShownJson | None = Field(description="Null: opened by a version that did not say it.")
    cost_s: float | None = Field(description="Seconds a person will need, about.")
    why: str | None = Field(
        description="What asked for it, in one sentence: an alarm, a search, a doubt about a label."
    )
    golden: bool = Field(description="Its truth is known: everybody labels it, and is compared with it.")
    drawn: list[DrawnJson] = Field(
        description="What each person drew on it, the last first. Engineers alone are told: who labels it next is not "
        "to know."
    )


class LabelTaskPage(BaseModel):
    """Label tasks: the most urgent first, then the oldest."""

    items: list[LabelTaskJson]
    next_cursor: str | None


@router.get("/label-tasks")
def label_tasks(
    who: IdentityDep,
    session: SessionDep,
    context: ContextDep,
    state: TaskState | None = None,
    cursor: str | None = None,
    limit: int = Query(50, ge=1, le=500),
) -> LabelTaskPage:
    """The label tasks, the next one to do first."""
    return page(session, context, state=state, cursor=cursor, limit=limit, drawn=who.role in ENGINEERS)


def page(
    session: Session,
    context: Context,
    *,
    state: TaskState | None,
    cursor: str | None,
    limit: int,
    drawn: bool = False,
) -> LabelTaskPage:
    """A page of the list; `drawn`: also with what each person drew.

    Raises:
        InvalidInput: no page of this list gave such a cursor.
    """
    wanted = select(LabelTask).order_by(col(LabelTask.urgency).desc(), col(LabelTask.id)).limit(limit + 1)
    if state is not None:
        wanted = wanted.where(LabelTask.state == state)
    if cursor:  # two questions, as an index answers each at once, and both together not
        urgency, last = _cursor(cursor)
        rows = list(session.exec(wanted.where(LabelTask.urgency == urgency, col(LabelTask.id) > last)))
        if len(rows) <= limit:
            rows += session.exec(wanted.where(col(LabelTask.urgency) < urgency))
    else:
        rows = list(session.exec(wanted))
    shown = rows[:limit]
    following = f"{shown[-1].urgency!r}~{shown[-1].id}" if len(rows) > limit else None
    return LabelTaskPage(items=shown_as(session, context, shown, drawn=drawn), next_cursor=following)


def shown_as(
    session: Session, context: Context, rows: Sequence[LabelTask], *, drawn: bool = False
) -> list[LabelTaskJson]:
    """Label tasks in the words of the interface; `drawn`: also what each person drew."""
    sizes = _sizes(session, {row.inspection_id for row in rows})
    people = _people(session, [row.id for row in rows]) if drawn else {}
    return [
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
            width=sizes.get((row.inspection_id, row.n), (None, None))[0],
            height=sizes.get((row.inspection_id, row.n), (None, None))[1],
            reasons=row.grounds.get("reasons", {}),
            shown=row.grounds.get("shown"),
            cost_s=row.grounds.get("cost_s"),
            why=row.grounds.get("sentence"),
            golden=row.golden_key is not None,
            drawn=people.get(row.id, []),
        )
        for row in rows
    ]


def _sizes(session: Session, inspections: set[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(inspection, place) -> width and height of the image, px."""
    wanted = select(Exposure.inspection_id, Exposure.n, Exposure.width, Exposure.height).where(
        col(Exposure.inspection_id).in_(inspections)
    )
    return {(of, n): (width, height) for of, n, width, height in session.exec(wanted)}


def _people(session: Session, tasks: Sequence[str]) -> dict[str, list[DrawnJson]]:
    """Task to what each person drew on it last, the latest first."""
    wanted = (
        select(Annotation.label_task_id, Annotation.by, Annotation.drawn)
        .where(col(Annotation.label_task_id).in_(tasks), ~col(Annotation.deleted))
        .order_by(col(Annotation.updated_at).desc(), col(Annotation.id).desc())
    )
    found: dict[str, list[DrawnJson]] = {}
    for task, by, drawn in session.exec(wanted):
        told = found.setdefault(task, [])
        if by not in {one.by for one in told}:
            told.append(DrawnJson(by=by, drawn=None if drawn is None else dict(drawn)))
    return found


def _cursor(text: str) -> tuple[float, str]:
    urgency, _, last = text.partition("~")
    try:
        return float(urgency), last
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a cursor that this list gave") from error
