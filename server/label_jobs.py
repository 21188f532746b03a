"""Jobs between our label tasks and Label Studio: push, collect, sweep. Any may run again, and doubles nothing.

They read and write through a patient session: while Label Studio takes its time, nobody else waits for the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from labeling import order
from labeling.collect import Outcome, collect_task, receive
from labeling.collect import sweep as sweep_all
from labeling.push import learn_places, push_open_tasks
from labeling.records import LabelTask, TaskState
from qc.errors import NotFound, Unavailable
from qc.records import Inspection
from server import features, label_trail, retrain_asking
from server.context import Context
from server.jobs import queue
from server.jobs.runner import JobRun
from server.studio_service import PUSH, SWEEP, service, task_url
from server.watch_records import ShadowVerdict

COLLECT = "collect_labels"
RANK = "rank_label_tasks"

COMPARED = 1000
"""Waiting tasks, and labelled defects, that are compared by what the encoder saw: a second of work at most."""

FEW = 20
"""So many tasks of one webhook are read one by one; a larger deletion or import is a sweep's business."""


def ask_to_collect(session: Session, payload: dict[str, Any], *, now: datetime) -> list[str]:
    """Ask for what a webhook told of to be collected; returns the jobs, none where it is not about us.

    Raises:
        InvalidInput: the payload is not what Label Studio sends.
    """
    tasks = receive(session, payload, now=now)
    if len(tasks) > FEW:
        return [queue.enqueue(session, SWEEP, now=now, key=SWEEP, again=True).id]
    return [
        queue.enqueue(session, COLLECT, {"label_task": task}, now=now, key=f"{COLLECT}:{task}", again=True).id
        for task in tasks
    ]


def push(context: Context, run: JobRun) -> dict[str, Any]:
    """Open label tasks become tasks in Label Studio; while that is down they wait, and are pushed when it is up."""
    try:
        studio_service = service(context)
        studio = studio_service.studio()
    except Unavailable as error:
        return {"waits": error.message}
    studio_service.fit_classes()
    created = found = failed = 0
    while True:
        now = run.clock()
        with context.database.patient() as session:
            pushed = push_open_tasks(session, studio, context.blobs, now, progress=lambda _: run.check())
        _tell(context, _changed_at(context, now))
        created, found, failed = created + pushed.created, found + pushed.found, failed + pushed.failed
        if not pushed.created + pushed.found + pushed.failed:
            break
    with context.database.read() as session:
        learn_places(session, context.blobs, run.clock())  # after all are pushed: it serves the next ones
    return {"created": created, "found": found, "failed": failed}


def rank(context: Context, run: JobRun) -> dict[str, Any]:
    """What waits is weighed anew; Label Studio shows the new order from the next sweep on."""
    with context.database.patient() as session:
        old = order.count_old(session, context.blobs)
        session.commit()
        encoder = context.features.encoder if context.features is not None else ""
        looks, known = features.of_tasks(session, encoder, most=COMPARED)
        changed = order.rank(session, models=_models_apart(session), looks=looks, known=known)
        session.commit()
    _tell(context, changed[:FEW])
    return {"changed": len(changed), "counted": old}


def _models_apart(session: Session) -> dict[str, float]:
    """Inspection that waits to be labelled -> how far the looking-on model's score is from the verdict's."""
    wanted = (
        select(Inspection.id, Inspection.score, ShadowVerdict.score)
        .join(ShadowVerdict, col(ShadowVerdict.inspection_id) == col(Inspection.id))
        .join(LabelTask, col(LabelTask.inspection_id) == col(Inspection.id))
        .where(col(LabelTask.state).in_(order.WAITING))
    )
    found: dict[str, float] = {}
    for inspection, ours, theirs in session.exec(wanted):
        found[inspection] = max(found.get(inspection, 0.0), abs((ours or 0.0) - theirs))
    return found


def collect(context: Context, run: JobRun) -> dict[str, Any]:
    """What people drew on one task comes home."""
    studio = service(context).studio()
    with context.database.patient() as session:
        label_trail.keep(session, run.clock)
        task = session.get(LabelTask, str(run.arguments["label_task"]))
        if task is None:
            raise NotFound(f"there is no label task {run.arguments['label_task']}")
        outcome = collect_task(session, studio, context.blobs, task, run.clock())
        session.commit()
    if outcome is not Outcome.UNCHANGED:
        _tell(context, [task.id])
    return _finish(context, run, {"outcome": str(outcome)})


def sweep(context: Context, run: JobRun) -> dict[str, Any]:
    """What the webhook lost comes home; what was not pushed is asked to be pushed."""
    try:
        studio_service = service(context)
        studio = studio_service.studio()
        studio_service.register_model()
    except Unavailable as error:
        return {"waits": error.message}
    with context.database.patient() as session:
        label_trail.keep(session, run.clock)
        swept = sweep_all(session, studio, context.blobs, run.clock(), progress=lambda _: run.check())
    _tell(context, swept.finished)
    found = {str(outcome): count for outcome, count in swept.outcomes.items() if outcome is not Outcome.UNCHANGED}
    return _finish(context, run, {"listed": swept.listed, "doubles": swept.doubles, "moved": swept.moved, **found})


def _finish(context: Context, run: JobRun, told: dict[str, Any]) -> dict[str, Any]:
    """End the job; in the same commit ask for what follows: a new order, a retraining if there are labels enough, and
    a push if one waits."""
    with context.database.write() as session:
        now = run.clock()
        many, drift = context.settings.retrain_after_labels, context.settings.retrain_on_drift
        retrain_asking.ask_if_enough(session, after_labels=many, on_drift=drift, now=now)
        queue.enqueue(session, RANK, now=now, key=RANK, again=True)
        if session.exec(select(LabelTask.id).where(LabelTask.state == TaskState.OPEN).limit(1)).first():
            queue.enqueue(session, PUSH, now=now, key=PUSH, again=True)
        run.finish(session, told)
        session.commit()
    return told


def _changed_at(context: Context, moment: datetime) -> list[str]:
    with context.database.read() as session:
        changed = (col(LabelTask.pushed_at) == moment) | (col(LabelTask.closed_at) == moment)
        return list(session.exec(select(LabelTask.id).where(changed)))


def _tell(context: Context, tasks: Iterable[str]) -> None:
    """Whoever listens learns where these tasks stand."""
    with context.database.read() as session:
        for task in session.exec(select(LabelTask).where(col(LabelTask.id).in_(list(tasks)))):
            context.events.publish(
                "label_task",
                {
                    "id": task.id,
                    "inspection_id": task.inspection_id,
                    "part": task.part,
                    "station": task.station,
                    "reason": str(task.reason),
                    "state": str(task.state),
                    "url": task_url(context, task),
                },
            )
