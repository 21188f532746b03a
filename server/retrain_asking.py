"""When a retraining is asked for: by a person, the clock, enough new labels, or drift; for everywhere, or for a place.

A product or a station with a model of its own (`server.where`) is retrained by itself: its labels and its alarms ask
for it, and it learns from its labels alone. What belongs to no such place asks for the model of everywhere, which
learns from all labels, as it may have to serve any part. Functions take the session; the caller commits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, tuple_
from sqlmodel import Session, col, select

from labeling.records import LabelTask, TaskState
from qc.records import Inspection
from server import assigning
from server.jobs import queue
from server.jobs.records import UNFINISHED, Job, JobState
from server.jobs.runner import JobRun
from server.watch_records import Alarm
from server.where import EVERYWHERE, Where, where_of

KIND = "retrain"
PLACES = "retrain_places"
"""Kind of the job that the clock asks for beside the retraining of everywhere."""
DRIFT = ("rate", "score", "appearance")
"""Kinds of alarms that say that parts or verdicts are not what they were (`server.drift`)."""
SHARE_ON_DRIFT = 0.25
"""Of the labels that otherwise ask for a retraining: without a new one it would give the same model again."""

ATTEMPTS = 8
PAUSE = timedelta(minutes=1)
"""Before a retraining that was called off begins anew: what it shall not learn is gone by then."""

ProductAtStation = tuple[str, str]


def ask(session: Session, *, now: datetime, why: str, where: Where = EVERYWHERE) -> Job:
    """Ask for a retraining; one of the same place that is unfinished is joined."""
    arguments = {"why": why} if where == EVERYWHERE else {"why": why, **where._asdict()}
    return queue.enqueue(session, KIND, arguments, now=now, key=key_of(where), max_attempts=ATTEMPTS)


def begin_anew(session: Session, wanted: Callable[[Job], bool], *, now: datetime) -> list[str]:
    """Call off retrainings that are not ended, and ask for each again; the caller commits.

    Args:
        wanted: which of them.

    Returns:
        Ids of those that were called off. Whoever is at one of them clears its folder away when it notices.
    """
    unfinished = select(Job).where(Job.kind == KIND, col(Job.state).in_(UNFINISHED))
    off = [(row.id, row.arguments, row.key) for row in session.exec(unfinished) if wanted(row)]
    for id, arguments, key in off:
        queue.cancel(session, id, now=now)
        queue.enqueue(session, KIND, arguments, now=now, key=key, delay=PAUSE, max_attempts=ATTEMPTS)
    return [id for id, _, _ in off]


def key_of(where: Where) -> str:
    """Of the jobs that retrain the model of there."""
    return KIND if where == EVERYWHERE else f"{KIND}:{where.product}/{where.station}"


def where_from(arguments: dict[str, Any]) -> Where:
    """For which place a job retrains."""
    return Where(str(arguments.get("product", "")), str(arguments.get("station", "")))


def ask_if_enough(session: Session, *, after_labels: int, on_drift: bool = False, now: datetime) -> list[Job]:
    """Ask for a retraining wherever so many label tasks were finished since the last one was asked for there, or, where
    none was, since a place has a model of its own.

    Args:
        on_drift: a quarter of them are enough while an alarm says that a station of there has drifted since then.
    """
    asked = []
    own = _places(session)
    for where in (EVERYWHERE, *own):
        last = _last_asked(session, where, own)
        number = _new_labels(session, where, own, since=last)
        if number >= after_labels:
            asked.append(ask(session, now=now, why=f"{number} new labels", where=where))
        elif on_drift and number >= math.ceil(after_labels * SHARE_ON_DRIFT):
            drifted = _drifted(session, where, own, since=last)
            if drifted is not None:
                why = f"{number} new labels, and drift: {drifted.message}"[:500]
                asked.append(ask(session, now=now, why=why, where=where))
    return asked


def by_schedule(run: JobRun) -> dict[str, Any]:
    """The clock's job: retrain for each product and station with a model of its own and a label it has not learnt from;
    without one it would give the same model again."""
    with run.sessions() as session:
        now, own, asked = run.clock(), _places(session), []
        for where in own:
            number = _new_labels(session, where, own, since=_last_asked(session, where, own))
            if number:
                ask(session, now=now, why=f"by schedule, {number} new labels", where=where)
                asked.append(where.words)
        run.finish(session, {"asked": asked})
        session.commit()
    return {"asked": asked}


def labelled_at(session: Session, where: Where) -> list[ProductAtStation]:
    """The products at stations that belong there, or would if it had a model of its own, and of which something is
    labelled."""
    return sorted(_labels(session, where, {*_places(session), where}))


def labels_of(places: Sequence[ProductAtStation]) -> ColumnElement[bool]:
    """Label tasks of parts of these products at these stations."""
    there = tuple_(col(Inspection.product), col(Inspection.station)).in_([tuple(place) for place in places])
    return col(LabelTask.inspection_id).in_(select(Inspection.id).where(there))


def _places(session: Session) -> dict[Where, datetime]:
    """Where a model of its own serves, and since when."""
    return {Where(own.product, own.station): own.since for own in assigning.all_of_them(session)}


def _last_asked(session: Session, where: Where, own: Mapping[Where, datetime]) -> datetime | None:
    asked = select(func.max(Job.created_at)).where(
        Job.kind == KIND, Job.key == key_of(where), Job.state != JobState.CANCELLED.value
    )
    return session.exec(asked).one() or own.get(where)


def _new_labels(session: Session, where: Where, own: Container[Where], *, since: datetime | None) -> int:
    return _labels(session, where, own, since=since).total()


def _labels(
    session: Session, where: Where, own: Container[Where], *, since: datetime | None = None
) -> Counter[ProductAtStation]:
    """Product and station that belong there -> label tasks that were finished, since some moment."""
    finished = (
        select(Inspection.product, Inspection.station, func.count())
        .join(LabelTask, col(LabelTask.inspection_id) == col(Inspection.id))
        .where(col(LabelTask.state) == TaskState.DONE)
        .group_by(col(Inspection.product), col(Inspection.station))
    )
    if since is not None:
        finished = finished.where(col(LabelTask.closed_at) > since)
    return Counter(
        {
            (product, station): number
            for product, station, number in session.exec(finished)
            if where_of(own, product, station) == where
        }
    )


def _drifted(session: Session, where: Where, own: Container[Where], *, since: datetime | None) -> Alarm | None:
    """The newest open alarm of drift there that no retraining was asked for after."""
    wanted = select(Alarm).where(col(Alarm.kind).in_(DRIFT), col(Alarm.closed_at).is_(None))
    if since is not None:
        wanted = wanted.where(col(Alarm.raised_at) > since)
    for alarm in session.exec(wanted.order_by(col(Alarm.id).desc())):
        if where_of(own, str(alarm.figures.get("product", "")), alarm.station) == where:
            return alarm
    return None
