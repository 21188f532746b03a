"""Asking people to label a part: tasks, what follows from new ones, and who is told; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from labeling import tasks as labeling_tasks
from labeling.order import alone
from labeling.records import LabelTask, Reason
from qc.geometry import Box
from qc.records import Exposure, Inspection
from server import label_jobs
from server.context import Context
from server.jobs import queue
from server.studio_service import PUSH


def open_tasks(
    context: Context,
    session: Session,
    inspection: Inspection,
    exposures: list[Exposure],
    *,
    reason: Reason,
    urgency: float,
    chance: float = 1.0,
    why: Mapping[str, Any] | None = None,
) -> list[LabelTask]:
    """Open a part's label tasks and ask for what follows; the caller commits.

    Args:
        reason, urgency, chance: as for `labeling.tasks.open_task`.
        why: kept with the grounds of tasks that are new.
    """
    now, twice = context.now(), context.settings.label_twice
    tasks = labeling_tasks.open_task(
        session, inspection, exposures, reason=reason, urgency=urgency, now=now, twice=twice, chance=chance
    )
    for task in tasks:
        if task.opened_at == now:
            task.grounds = {**task.grounds, **(why or {})}
    _follow(context, session, inspection, tasks, reason, now)
    return tasks


def open_place(
    context: Context,
    session: Session,
    inspection: Inspection,
    exposure: Exposure,
    place: Box,
    *,
    reason: Reason,
    likely: Mapping[str, float],
    why: str,
) -> LabelTask:
    """Open a task for one place of an exposure and ask for what follows; the caller commits.

    Args:
        place, reason, likely, why: as for `labeling.tasks.open_place`.
    """
    now = context.now()
    task = labeling_tasks.open_place(
        session, inspection, exposure, place, reason=reason, likely=likely, now=now, why=why
    )
    _follow(context, session, inspection, [task], reason, now)
    return task


def _follow(
    context: Context,
    session: Session,
    inspection: Inspection,
    tasks: Sequence[LabelTask],
    reason: Reason,
    now: datetime,
) -> None:
    """Weigh the new ones, tell the pages, have all of them weighed against each other, and sent."""
    for task in tasks:
        if task.opened_at == now:
            task.urgency = alone(task)
        told = {"id": task.id, "inspection_id": inspection.id, "part": inspection.part, "station": inspection.station}
        context.events.on_commit(session, "label_task", {**told, "reason": str(reason), "state": str(task.state)})
    if tasks:
        queue.enqueue(session, label_jobs.RANK, now=now, key=label_jobs.RANK, again=True)
    if tasks and context.settings.label_studio:
        queue.enqueue(session, PUSH, now=now, key=PUSH, again=True)
