"""How far labels can be trusted: agreement between people, golden tasks, drift."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from labeling import quality
from labeling.agreement import agreement
from labeling.people import work_of_each
from qc.errors import Unavailable
from server import audit
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.routes.label_tasks import LabelTaskJson, shown_as
from server.studio_service import service

router = APIRouter(tags=["label tasks"])

RECENT = timedelta(days=30)
"""Of so long it is told who labelled how much: long enough for a part-time labeller, short enough to act upon."""


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


class WorkJson(BaseModel):
    """What a person labelled lately."""

    person: str
    drawings: int
    seconds_each: float | None = Field(description="On average, as Label Studio measured it.")
    specks: int = Field(
        description="Marks of up to 4 px at a crop's border, beside something larger, that the editor leaves behind: "
        "left out of the drawings."
    )
    with_specks: int = Field(description="Drawings that had any.")


class QualityJson(BaseModel):
    """How far labels can be trusted."""

    pairs: int = Field(description="Crops labelled by two people, counted for each two.")
    classes: dict[str, dict[str, FigureJson]]
    labellers: list[LabellerJson]
    work: list[WorkJson] = Field(description="Of everybody whose drawings came in the last 30 days, by name.")
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
        work = work_of_each(session, since=context.now() - RECENT)
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
    told = [WorkJson(**asdict(each)) for each in work]
    return QualityJson(pairs=len(pairs), classes=by_class, labellers=labellers, work=told, golden=golden)


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
