"""Reading inspections: one, a page, per station; and the JSON they leave as. Functions take the session."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from labeling.records import LabelTask, TaskState
from qc.errors import InvalidInput, NotFound
from qc.records import Decision, Exposure, Inspection, first_id, made_at
from qc.verdict import Verdict
from server import station_counts
from server.context import Context
from server.gate_records import StationMode
from server.loose_scan import newest_of_each
from server.schemas import (
    CallOut,
    DecisionOut,
    DefectOut,
    ImageOut,
    InspectionOut,
    InspectionPage,
    LabelTaskRef,
    StationOut,
)
from server.studio_service import task_url
from server.watch_records import CameraLook
from server.word_records import UNDO_WITHIN, CallState, OperatorCall, counts

CLOCK_S = 86_400.0
"""By so much at most the computer's clock is set back between a part's arrival and its id."""


def get_inspection(session: Session, inspection_id: str) -> Inspection:
    """The inspection; raises NotFound."""
    inspection = session.get(Inspection, inspection_id)
    if inspection is None:
        raise NotFound(f"there is no inspection {inspection_id}")
    return inspection


def get_exposure(session: Session, inspection_id: str, n: int) -> Exposure:
    """One image of an inspection; raises NotFound."""
    exposure = session.get(Exposure, (inspection_id, n))
    if exposure is None:
        raise NotFound(f"inspection {inspection_id} has no image {n}")
    return exposure


def exposures_of(session: Session, inspection_id: str) -> list[Exposure]:
    """The images of an inspection, in the order in which they were sent."""
    wanted = select(Exposure).where(Exposure.inspection_id == inspection_id).order_by(col(Exposure.n))
    return list(session.exec(wanted))


def newest_decision(session: Session, inspection_id: str) -> Decision | None:
    """The decision that stands: the newest that nobody took back."""
    wanted = select(Decision).where(Decision.inspection_id == inspection_id, counts())
    return session.exec(wanted.order_by(col(Decision.id).desc()).limit(1)).first()


def show(
    context: Context, session: Session, inspections: Iterable[Inspection], *, outlines: bool
) -> list[InspectionOut]:
    """Inspections as they leave the server, with a few look-ups for all of them together."""
    rows = list(inspections)
    ids = [row.id for row in rows]
    images: dict[str, list[Exposure]] = defaultdict(list)
    for exposure in session.exec(
        select(Exposure).where(col(Exposure.inspection_id).in_(ids)).order_by(col(Exposure.n))
    ):
        images[exposure.inspection_id].append(exposure)
    decisions = {
        decision.inspection_id: decision
        for decision in session.exec(
            select(Decision).where(col(Decision.inspection_id).in_(ids), counts()).order_by(col(Decision.id))
        )
    }
    calls = {
        call.inspection_id: call
        for call in session.exec(
            select(OperatorCall).where(col(OperatorCall.inspection_id).in_(ids)).order_by(col(OperatorCall.id))
        )
    }
    tasks = _label_tasks(context, session, ids)
    at_fault = {(row.inspection_id, row.n): row.fault for row in camera_faults(session, ids)}
    return [
        InspectionOut(
            **row.model_dump(exclude={"process_values"}),
            process_values=row.process_values,
            images=[
                _image(exposure, at_fault.get((row.id, exposure.n)), outlines=outlines) for exposure in images[row.id]
            ],
            decision=_decision(decisions.get(row.id)),
            call=_call(calls.get(row.id)),
            label_task=tasks.get(row.id),
        )
        for row in rows
    ]


def show_one(context: Context, session: Session, inspection_id: str) -> InspectionOut:
    """One inspection as it leaves the server; raises NotFound."""
    return show(context, session, [get_inspection(session, inspection_id)], outlines=True)[0]


def for_the_line(shown: InspectionOut) -> InspectionOut:
    """An inspection as a machine is told of it: in mode shadow nothing of what the model found."""
    if shown.mode != "shadow":
        return shown
    nothing: dict[str, Any] = {"score": None, "verdict": None, "defects": []}
    images = [image.model_copy(update=nothing) for image in shown.images]
    return shown.model_copy(update={"score": None, "model_verdict": None, "images": images})


def in_short(inspection: Inspection, *, images: int) -> dict[str, Any]:
    """What an event says of an inspection; with the number of its images a page can ask for all of them at once."""
    return {
        "id": inspection.id,
        "part": inspection.part,
        "station": inspection.station,
        "product": inspection.product,
        "progress": inspection.progress,
        "verdict": inspection.verdict,
        "score": inspection.score if inspection.mode != "shadow" else None,
        "mode": inspection.mode,
        "received_at": inspection.received_at.isoformat(),
        "images": images,
    }


def page(
    context: Context,
    session: Session,
    *,
    station: str | None = None,
    verdict: Verdict | None = None,
    part: str | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> InspectionPage:
    """Inspections, newest first. Ids sort by time, so a cursor is the last id seen and new parts shift no page."""
    wanted = select(Inspection).order_by(col(Inspection.id).desc()).limit(limit + 1)
    if station is not None:
        wanted = wanted.where(Inspection.station == station)
    if verdict is not None:
        wanted = wanted.where(Inspection.verdict == verdict)
    if part is not None:
        wanted = wanted.where(Inspection.part == part)
    if since is not None:
        if since.tzinfo is None:
            raise InvalidInput("since must name its time zone, such as 2026-01-31T06:00:00Z")
        # ids are made when parts come, and have an index beside station and verdict: few rows are read, however many
        # there are. The index of the moment alone would lead to all of that time: `coalesce` keeps PostgreSQL off it.
        bound, moment = first_id(since.timestamp() - CLOCK_S), func.coalesce(col(Inspection.received_at), since)
        wanted = wanted.where(moment >= since, col(Inspection.id) >= bound)
    if cursor is not None:
        wanted = wanted.where(col(Inspection.id) < cursor)
    rows = list(session.exec(wanted))
    more = len(rows) > limit
    rows = rows[:limit]
    return InspectionPage(items=show(context, session, rows, outlines=False), next_cursor=rows[-1].id if more else None)


def stations(session: Session, *, now: datetime) -> list[StationOut]:
    """Every station that sent something, with its counts."""
    tally = station_counts.counts(session, now=now)
    inspected: Counter[str] = Counter()
    for (station, _), number in tally.items():
        inspected[station] += number
    found = []
    mode_words = {row.station: row.mode for row in session.exec(select(StationMode))}
    newest = newest_of_each(session, col(Inspection.station), col(Inspection.id))
    rows = session.exec(select(Inspection).where(col(Inspection.id).in_(newest.values())))
    for name, last in sorted((row.station, row) for row in rows):
        found.append(
            StationOut(
                name=name,
                product=last.product,
                inspected=inspected[name],
                ok=tally[name, Verdict.OK],
                review=tally[name, Verdict.REVIEW],
                ng=tally[name, Verdict.NG],
                last_at=last.received_at,
                mode=mode_words.get(name, "decide"),  # type: ignore[arg-type]
            )
        )
    return found


def camera_faults(session: Session, inspection_ids: list[str]) -> list[CameraLook]:
    """The pictures of these inspections that were camera faults."""
    wanted = select(CameraLook).where(col(CameraLook.inspection_id).in_(inspection_ids), CameraLook.fault != "")
    return list(session.exec(wanted))


def _image(exposure: Exposure, camera_fault: str | None, *, outlines: bool) -> ImageOut:
    defects = [
        DefectOut.model_validate(defect if outlines else {**defect, "outline": []}) for defect in exposure.defects
    ]
    told = exposure.model_dump(include=set(ImageOut.model_fields) - {"defects", "camera_fault"})
    return ImageOut(**told, defects=defects, camera_fault=camera_fault)


def _decision(decision: Decision | None) -> DecisionOut | None:
    if decision is None:
        return None
    return DecisionOut(
        id=decision.id,
        verdict=decision.verdict.value,  # type: ignore[arg-type]
        reason=decision.reason,
        by=decision.by,
        at=decision.at,
        undo_until=(made_at(decision.id) or decision.at) + UNDO_WITHIN,
    )


def _call(call: OperatorCall | None) -> CallOut | None:
    """The newest call; one that was taken back is as if it had not been."""
    if call is None or call.state == CallState.WITHDRAWN:
        return None
    return CallOut(**call.model_dump(include=set(CallOut.model_fields)))


def _label_tasks(context: Context, session: Session, inspection_ids: list[str]) -> dict[str, LabelTaskRef]:
    """The task that a person should look at next, of each inspection: one that waits before one that is done."""
    wanted = select(LabelTask).where(col(LabelTask.inspection_id).in_(inspection_ids)).order_by(col(LabelTask.id))
    waits = (TaskState.OPEN, TaskState.PUSHED)
    found: dict[str, LabelTask] = {}
    for task in session.exec(wanted):
        known = found.setdefault(task.inspection_id, task)
        if known.state not in waits and task.state in waits:
            found[task.inspection_id] = task
    return {
        inspection: LabelTaskRef(id=task.id, state=str(task.state), url=task_url(context, task))
        for inspection, task in found.items()
    }
