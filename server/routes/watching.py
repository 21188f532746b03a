"""Alarms and cameras: what is not as usual, and a person's word on it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from qc.errors import Unavailable
from server import alarms
from server.auth import IdentityDep
from server.camera_health import Cameras
from server.context import Context, ContextDep
from server.db import SessionDep

router = APIRouter(tags=["watching"])


class AlarmJson(BaseModel):
    """Something is not as usual. `before` and `after` are ids of inspections around its beginning."""

    id: str
    kind: str
    station: str
    what: str
    message: str
    since: datetime
    raised_at: datetime
    before: list[str]
    after: list[str]
    figures: dict[str, Any]
    closed_at: datetime | None
    closed_by: str
    reason: str


class AlarmPage(BaseModel):
    """Alarms, newest first."""

    items: list[AlarmJson]


class AlarmWord(BaseModel):
    """Why an alarm is closed."""

    reason: str = Field(min_length=1, max_length=500)
    relearn: bool = Field(default=False, description="It is right as it is now: learn anew what is usual.")


class CameraJson(BaseModel):
    """One camera. Measures: `level` (log of the mean grey), `sharpness` (log of fine against coarse detail), and the
    place `column` and `row` (in shares of the longer side)."""

    station: str
    view: str
    product: str
    since: datetime = Field(description="From when on it was learnt what its pictures are like.")
    learnt: int = Field(description="Good pictures learnt from.")
    learning: bool
    usual: dict[str, dict[str, float]]
    changed: dict[str, str] = Field(description="Measure -> what has changed lastingly, in words.")


class CameraPage(BaseModel):
    """Every camera that has sent a picture since the server started."""

    items: list[CameraJson]


class Accepted(BaseModel):
    """How many cameras learn anew."""

    cameras: int


@router.get("/alarms")
def list_alarms(
    session: SessionDep,
    station: str | None = None,
    kind: str | None = None,
    only_open: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AlarmPage:
    """Alarms, newest first."""
    rows = alarms.newest(session, kind=kind, station=station, only_open=only_open, limit=limit)
    return AlarmPage(items=[AlarmJson(**alarms.as_json(row)) for row in rows])


@router.post("/alarms/{id}/close")
def close_alarm(id: str, word: AlarmWord, session: SessionDep, who: IdentityDep, context: ContextDep) -> AlarmJson:
    """A person has seen to it. The charts of the station begin anew; what is usual stays, unless `relearn` is said."""
    alarm = alarms.get(session, id)
    alarms.close(
        session, context.events, alarm, by=who.name, reason=word.reason, now=context.now(), relearn=word.relearn
    )
    if alarm.kind == "camera" and word.relearn:
        _cameras(context).accept(session, alarm.station, view=alarm.figures["view"], by=who.name, at=context.now())
    answer = AlarmJson(**alarms.as_json(alarm))
    session.commit()
    if alarm.kind == "camera" and context.cameras is not None:
        if word.relearn:
            context.cameras.forget(alarm.station, view=alarm.figures["view"])
        context.cameras.begin_charts(alarm.station)
    elif context.drift is not None:
        context.drift.answered(alarm)
    return answer


@router.get("/cameras")
def list_cameras(context: ContextDep) -> CameraPage:
    """How every camera is."""
    return CameraPage(items=[CameraJson(**one) for one in _cameras(context).list()])


@router.post("/cameras/{station}/accept")
def accept_cameras(
    station: str, session: SessionDep, who: IdentityDep, context: ContextDep, view: str | None = None
) -> Accepted:
    """The pictures of this station are as they should be now: learn anew what is usual, and close its camera alarms."""
    cameras = _cameras(context)
    number = cameras.accept(session, station, view=view, by=who.name, at=context.now())
    session.commit()
    cameras.forget(station, view=view)
    return Accepted(cameras=number)


def _cameras(context: Context) -> Cameras:
    if context.cameras is None:
        raise Unavailable("cameras are not watched here (QC_CAMERA_CHECKS)")
    return context.cameras
