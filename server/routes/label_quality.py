"""How far labels can be trusted: agreement between people, golden tasks, drift."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from labeling import quality
from labeling.agreement import agreement
from qc.errors import Unavailable
from server import audit
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.routes.label_tasks import LabelTaskJson, shown_as
from server.studio_service import service

router = APIRouter(tags=["label tasks"])


class FigureJson(BaseModel):
    """A figure; `low` and `high` enclose 90 % of a bootstrap over parts, null from a single part."""

    value: float | None
    low: float | None
    high: float | None
    parts: int


class MarkJson(BaseModel):
    """How a person did on one golden task."""

    task: str
    at: datetime
    score: float = Field(description="F1 with the known truth, 0..1.")


class LabellerJson(BaseModel):
    """How a person did on golden tasks."""

    person: str
    tasks: int
    score: float = Field(description="Mean F1 with the known truth, 0..1.")
    change_per_30_days: float | None
    change_is_certain: bool
    marks: list[MarkJson] = Field(description="The oldest first.")


class QualityJson(BaseModel):
    """How far labels can be trusted."""

    pairs: int = Field(description="Crops labelled by two people, counted for each two.")
    classes: dict[str, dict[str, FigureJson]]
    labellers: list[LabellerJson]
    golden: list[LabelTaskJson] = Field(description="The tasks whose truth is known, the newest first.")


class GoldenJson(BaseModel):
    """A task whose truth is known now."""

    id: str
    people: int
    in_studio: bool = Field(description="False: Label Studio did not answer; ask again later.")


@router.get("/labels/quality")
async def label_quality(context: ContextDep) -> QualityJson:
    """Agreement of people with each other, class by class, and of each with golden tasks."""
    return await run_in_threadpool(figures, context)


def figures(context: Context) -> QualityJson:
    """Counted anew from every drawing."""
    classes = dict(context.need_champion().serving().classes)
    with context.database.read() as session:
        pairs = quality.pairs(session, context.blobs, classes)
        marks = quality.marks(session, context.blobs, classes)
        golden = shown_as(session, context, quality.golden_tasks(session))
    found = agreement(pairs, classes)
    labellers = []
    for each in marks:
        trend = each.drift
        labellers.append(
            LabellerJson(
                person=each.person,
                tasks=len(each.scores),
                score=sum(each.scores) / len(each.scores),
                change_per_30_days=None if trend is None else trend.per_30_days,
                change_is_certain=trend is not None and trend.certain,
                marks=[
                    MarkJson(task=task, at=at, score=score)
                    for task, at, score in zip(each.tasks, each.times, each.scores, strict=True)
                ],
            )
        )
    by_class = {
        name: {k: FigureJson(value=f.value, low=f.low, high=f.high, parts=f.parts) for k, f in by_figure.items()}
        for name, by_figure in found.items()
    }
    return QualityJson(pairs=len(pairs), classes=by_class, labellers=labellers, golden=golden)


@router.post("/label-tasks/{id}/golden")
def golden(id: str, who: IdentityDep, session: SessionDep, context: ContextDep) -> GoldenJson:
    """What is drawn on this task is the truth from now on; everybody is asked to label it, and compared with it."""
    task = quality.make_golden(session, id)
    audit.record(session, "label_task.golden", id, {"mask": task.golden_key}, by=who.name, at=context.now())
    answer = GoldenJson(id=task.id, people=task.people, in_studio=False)
    number = task.studio_task_id
    session.commit()
    try:
        if number is not None:
            service(context).studio().ask_people(number, answer.people)
            answer.in_studio = True
    except Unavailable:
        answer.in_studio = False
    return answer
