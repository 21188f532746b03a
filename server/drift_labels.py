"""Drift asks for labels: of the parts since an alarm, those that look least like the parts before go to people.

A durable job that the alarm's transaction asks for: it reads hundreds of vectors, and the line shall not wait for
that. Where nothing is kept of what the encoder saw, the parts go whose scores are most in doubt.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from labeling.priority import uncertainty
from labeling.records import LabelTask, Reason
from qc.drift import LEARN, unlike
from qc.features import Vector, from_bytes
from qc.records import Exposure, Inspection, Progress
from server import alarms
from server.asking import open_tasks
from server.context import Context
from server.features_records import IMAGE, Feature
from server.inspections import exposures_of
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.watch_records import Alarm

KIND = "label_drift"
ASKED = 8
"""Parts of one alarm that people are asked about: more than a retraining on drift needs, and still a short round."""
SINCE = 400
"""Parts among which they are chosen: the first since the alarm's beginning."""
URGENCY = 0.8
"""Until all is weighed anew: before what the model merely doubts, after what a person has seen."""


def ask(session: Session, alarm: Alarm, *, now: datetime) -> Job:
    """Ask for the tasks of a new alarm, in its transaction."""
    return queue.enqueue(session, KIND, {"alarm": alarm.id}, now=now, key=f"{KIND}:{alarm.id}")


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Open them, once for each alarm; one that was closed meanwhile needs none."""
    with context.database.read() as session:
        alarm = alarms.get(session, str(run.arguments["alarm"]))
        chosen = [] if alarm.closed_at is not None else newest_looking(session, alarm)
    asked = 0
    with context.database.write() as session:
        for inspection_id in chosen:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
            if inspection is not None and exposures:  # else erased meanwhile
                why = {"alarm": alarm.id, "sentence": alarm.message}
                open_tasks(context, session, inspection, exposures, reason=Reason.DRIFT, urgency=URGENCY, why=why)
                asked += 1
        run.finish(session, {"parts": asked})
        session.commit()
    return {"parts": asked}


def newest_looking(session: Session, alarm: Alarm, *, count: int = ASKED) -> list[str]:
    """Inspections since an alarm's beginning that look least like those before, and unlike each other.

    Left out are parts that people are asked about already, and those whose pictures are gone; a part comes once.
    """
    mine = select(Inspection).where(
        Inspection.station == alarm.station,
        Inspection.product == alarm.figures["product"],
        Inspection.model == alarm.figures["model"],
        Inspection.progress == Progress.DONE,
    )
    later = mine.where(col(Inspection.received_at) >= alarm.since).order_by(col(Inspection.id))
    earlier = mine.where(col(Inspection.received_at) < alarm.since).order_by(col(Inspection.id).desc())
    before = [row.id for row in session.exec(earlier.limit(LEARN))]
    since = {row.id: row for row in session.exec(later.limit(SINCE))}
    for known in _asked_or_gone(session, list(since)):
        since.pop(known, None)
    ordered = _by_looks(session, before, list(since), view=alarm.figures.get("view"))
    ordered += sorted(since.keys() - set(ordered), key=lambda one: (-uncertainty([since[one].score or 0.0]), one))
    parts: dict[str, str] = {}
    for one in ordered:
        parts.setdefault(since[one].part, one)
    return list(parts.values())[:count]


def _asked_or_gone(session: Session, inspections: list[str]) -> set[str]:
    asked = select(LabelTask.inspection_id).where(col(LabelTask.inspection_id).in_(inspections))
    gone = select(Exposure.inspection_id).where(
        col(Exposure.inspection_id).in_(inspections), col(Exposure.original_key) == ""
    )
    return {*session.exec(asked), *session.exec(gone)}


def _by_looks(session: Session, before: list[str], since: list[str], *, view: str | None) -> list[str]:
    """`since`, as far as what the encoder saw of them is kept: the strangest first; each view beside its own."""
    usual, new = _looks(session, before, view), _looks(session, since, view)
    strange: dict[str, float] = {}
    for name, seen in new.items():
        known = usual.get(name, [])
        if len(known) < 2:  # nothing is known of what is usual
            continue
        far = unlike([vector for _, vector in known], [vector for _, vector in seen])
        for (inspection_id, _), distance in zip(seen, far, strict=True):
            strange[inspection_id] = max(strange.get(inspection_id, 0.0), distance)
    return sorted(strange, key=lambda one: (-strange[one], one))


def _looks(session: Session, inspections: list[str], view: str | None) -> dict[str, list[tuple[str, Vector]]]:
    """View to the inspections and what the encoder of the model that judged them saw of their whole images."""
    wanted = (
        sql_select(col(Exposure.view), col(Feature.inspection_id), col(Feature.vector))
        .join(Exposure, (col(Exposure.inspection_id) == col(Feature.inspection_id)) & (col(Exposure.n) == Feature.n))
        .join(Inspection, col(Inspection.id) == col(Feature.inspection_id))
        .where(
            col(Feature.defect) == IMAGE,
            col(Feature.encoder) == col(Inspection.model),
            col(Feature.inspection_id).in_(inspections),
        )
        .order_by(col(Feature.inspection_id), col(Feature.n))
    )
    found: dict[str, list[tuple[str, Vector]]] = {}
    for name, inspection_id, data in session.execute(wanted):
        if view is None or name == view:
            found.setdefault(name, []).append((inspection_id, from_bytes(data)))
    return found
