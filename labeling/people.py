"""What each person drew on each finished task."""

from __future__ import annotations

from sqlalchemy import ColumnElement, TextClause
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
