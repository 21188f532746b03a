"""What each person drew on each finished task, and how much each did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, TextClause, case, func
from sqlmodel import Session, col, select

from labeling.records import Annotation, LabelTask, TaskState


def newest_of_each(
    session: Session, *which: ColumnElement[bool] | TextClause
) -> list[tuple[LabelTask, list[Annotation]]]:
    """Finished tasks with the newest annotation of each person; the task finished last comes last.

    A task of which no annotation stands (all removed, or superseded by one that was) is left out.

    Args:
        which: tasks that are looked at; all of them where nothing is said, which are many in an old plant.
    """
    drawn = (
        select(LabelTask, Annotation)
        .join(Annotation, col(Annotation.label_task_id) == col(LabelTask.id))
        .where(LabelTask.state == TaskState.DONE, ~col(Annotation.deleted), *which)
        .order_by(col(Annotation.updated_at), col(Annotation.id))
    )
    found: dict[str, tuple[LabelTask, dict[str, Annotation]]] = {}
    for task, row in session.exec(drawn).all():
        people = found.setdefault(task.id, (task, {}))[1]
        people.pop(row.by, None)
        people[row.by] = row
    standing = [(task, list(people.values())) for task, people in found.values()]
    standing = [(task, rows) for task, rows in standing if not all(row.superseded for row in rows)]
    return sorted(standing, key=lambda each: (each[1][-1].updated_at, each[1][-1].id))


@dataclass(frozen=True, slots=True)
class Work:
    """What one person drew in a stretch of time."""

    person: str
    drawings: int
    seconds_each: float | None
    """On average, as Label Studio measured it; None where it measured none."""
    specks: int
    """Stray marks of the editor that were left out of the drawings (see `labeling.convert`)."""
    with_specks: int
    """Drawings that had any."""


def work_of_each(session: Session, *, since: datetime) -> list[Work]:
    """Everybody whose drawings came home since then, by name; drawings that were removed again do not count."""
    had_any = case((col(Annotation.specks) > 0, 1), else_=0)
    counted = select(func.count(), func.avg(Annotation.lead_time_s), func.sum(Annotation.specks), func.sum(had_any))
    recent = counted.where(col(Annotation.received_at) >= since, ~col(Annotation.deleted))
    of_each = recent.add_columns(col(Annotation.by)).group_by(col(Annotation.by)).order_by(col(Annotation.by))
    rows = session.connection().execute(of_each).all()
    return [Work(by, n, None if t is None else float(t), int(specks), int(had)) for n, t, specks, had, by in rows]
