"""Camera health: every picture tells how its camera is, before any model looks at it.

A picture that is black, white, frozen, or far from what its camera usually delivers is a camera fault: its part goes to
a person (`review`, with the reason), is shown to no model and counts as no defect. A small lasting change (a dimmer
lamp, a lens out of focus, a camera that was knocked) shows in no single picture; charts find it, and an alarm says
since when. What a camera usually delivers is learnt from its own first hundred good pictures, and stays until a person
says that the new state is right: a slow decay is compared with the beginning, not with yesterday.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from qc import camera, camera_dirt
from qc.camera import Fault, Look, Watch
from qc.camera_dirt import Ground
from qc.errors import NotFound
from qc.frame import Frame
from qc.records import Exposure, Inspection
from server import alarms, audit
from server.context import Context
from server.watch_records import CameraLook, CameraReference

log = structlog.get_logger(__name__)

REPLAYED = 2_000
"""Good pictures of a camera that are read again at start: the hundred it learnt from, and what its charts need."""


@dataclass(slots=True)
class _Camera:
    """One camera's state; touched under the lock of `Cameras`."""

    station: str
    view: str
    product: str
    since: datetime
    watch: Watch
    edges: camera.Floats | None = None
    ground: Ground = field(default_factory=Ground)
    stored: bool = False
    """Its reference lies in the database."""
    ground_stored: bool = False
    """So does what its cells are usually like."""
    last: tuple[str, str] = ("", "")
    """Fingerprint and part of its newest picture."""


def key_of(station: str, view: str, n: int, product: str, frame: Frame) -> str:
    """The name of a camera: pictures of one name are comparable. Without names of views, the order tells them apart."""
    return f"{station}\n{view or f'#{n}'}\n{product}\n{frame.width}x{frame.height}"


def name_of(key: str) -> str:
    """The view's name, or its number where it has none (`#0`), from `key_of`."""
    return key.split("\n")[1]


class Cameras:
    """Every camera's health. A `server.context.Part`; safe to use from several threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cameras: dict[str, _Camera] = {}
        self._lock = threading.Lock()
        self._recent: dict[str, Counter[str]] = {}
        """Station -> how many of its pictures in a row were at fault, by fault; empty when the newest was good."""

    def check(self, inspection: Inspection, frames: Sequence[Frame]) -> list[CameraLook]:
        """Measure the pictures of an inspection; rows to be stored with its verdict, `fault` set where one is."""
        found = []
        for n, frame in enumerate(frames):
            seen, seen_edges = camera.look(frame.pixels), camera.edges(frame.pixels)
            seen_cells = camera_dirt.cells(frame.pixels)
            key = key_of(inspection.station, frame.view, n, inspection.product, frame)
            with self._lock:
                found.append(self._check(key, inspection, n, frame.view, seen, seen_edges, seen_cells))
        faults = [row for row in found if row.fault]
        for row in faults:
            self._context.metrics.camera_faults.labels(row.station, row.view, row.fault).inc()
        if faults:
            self._recent.setdefault(inspection.station, Counter()).update(row.fault for row in faults)
        else:
            self._recent.pop(inspection.station, None)
        return found

    def after_inspection(self, session: Session, inspection: Inspection, exposures: list[Exposure]) -> None:
        """A hook: alarms of this station's cameras are raised, or healed, in the transaction of the verdict."""
        with self._lock:
            mine = [(key, one) for key, one in self._cameras.items() if one.station == inspection.station]
            current = {(key, name): told for key, one in mine for name, told in _alarms(one).items()}
            names = {key: f"{one.view or 'picture'}: {one.product}" for key, one in mine}
        for (key, name), (words, ago) in current.items():
            view = name_of(key)
            before, after, since = _around(session, key, ago)
            alarms.raise_once(
                session,
                self._context.events,
                kind="camera",
                station=inspection.station,
                what=f"{names[key]}, {name}",
                message=f"camera {view} of {inspection.station} is {words}, for {ago} parts; "
                "check it, or say that this is how it should be",
                since=since or inspection.received_at,
                now=self._context.now(),
                before=before,
                after=after,
                figures={"view": view, "measure": name, "parts": ago},
            )

    def keep(self, station: str) -> None:
        """Store what its cameras have learnt, twice in a camera's life. In a transaction of its own, as a line waits
        for that of the verdict; what cannot be stored now is stored after the next part."""
        if not self._unstored(station):
            return
        try:
            with self._context.database.write() as session:
                new = self._unstored(station)  # asked again: nobody says now that a camera is to learn anew
                for _, row in new:
                    session.merge(row)
                session.commit()
        except SQLAlchemyError as error:
            log.warning("what cameras have learnt is not stored yet", station=station, problem=str(error))
            return
        with self._lock:
            for one, row in new:
                one.stored, one.ground_stored = True, row.cells is not None

    def _unstored(self, station: str) -> list[tuple[_Camera, CameraReference]]:
        with self._lock:
            mine = [(key, one) for key, one in self._cameras.items() if one.station == station]
            return [(one, _reference_row(key, one)) for key, one in mine if _is_unstored(one)]

    def accept(self, session: Session, station: str, *, by: str, at: datetime, view: str | None = None) -> int:
        """A person's word that a station's pictures are as they should be now: learn anew. Returns how many cameras.

        `view` is the name of one of its views, or its number (`#0`) where views have no names; None: all of them.

        Raises:
            NotFound: no such camera.
        """
        with self._lock:
            mine = [k for k, c in self._cameras.items() if c.station == station and view in (None, name_of(k))]
        rows = select(CameraReference).where(CameraReference.station == station)
        stored = [row for row in session.exec(rows) if view in (None, name_of(row.key))]
        if not mine and not stored:
            raise NotFound(f"no camera of {station} has sent a picture yet")
        for row in stored:
            session.delete(row)
        for alarm in alarms.open_ones(session, kind="camera", station=station):
            if view is None or alarm.figures.get("view") == view:
                alarms.close(session, self._context.events, alarm, by=by, reason="this is how it should be", now=at)
        audit.record(session, "camera", station, {"view": view, "word": "learn anew"}, by=by, at=at)
        return len({*mine, *(row.key for row in stored)})

    def forget(self, station: str, *, view: str | None = None) -> None:
        """Forget in memory what was accepted; to be called once that is committed."""
        with self._lock:
            for key in [k for k, c in self._cameras.items() if c.station == station and view in (None, name_of(k))]:
                del self._cameras[key]

    def begin_charts(self, station: str) -> None:
        """Begin the charts of a station's cameras anew: an alarm was answered. What is usual stays."""
        with self._lock:
            for one in self._cameras.values():
                if one.station == station:
                    one.watch = replace(one.watch, charts={}, means={})
                    one.ground = one.ground.begun()

    def list(self) -> list[dict[str, Any]]:
        """Every camera that has sent a picture since the start, for people."""
        with self._lock:
            return [_told(one) for _, one in sorted(self._cameras.items())]

    def state(self) -> dict[str, Any]:
        """For /health: degraded while a station's newest picture was at fault, or a lasting change is unanswered."""
        faults = {station: dict(count) for station, count in list(self._recent.items())}
        with self._lock:
            changed = sorted({one.station for one in self._cameras.values() if _alarms(one)})
        state: dict[str, Any] = {"state": "degraded" if faults or changed else "ok", "cameras": len(self._cameras)}
        told = [f"{station}: {', '.join(count)}" for station, count in faults.items()]
        told += [f"{station}: its pictures have changed" for station in changed]
        return state | ({"message": "; ".join(told), "faults": faults} if told else {})

    def stop(self) -> None:
        """Nothing runs by itself."""

    def _check(
        self,
        key: str,
        inspection: Inspection,
        n: int,
        view: str,
        seen: Look,
        seen_edges: camera.Floats,
        seen_cells: camera.Floats,
    ) -> CameraLook:
        one = self._cameras.get(key) or self._load(key, inspection, view, seen_cells.shape)
        self._cameras[key] = one
        if one.edges is None:
            seen = replace(seen, column=0.0, row=0.0)
        else:
            column, row = camera.place(one.edges, seen_edges)
            seen = replace(seen, column=column, row=row)
        told = camera.absolute(seen)
        if told is None and seen.fingerprint == one.last[0] and inspection.part != one.last[1]:
            told = Fault.FROZEN, "the picture is the very one of the part before; check camera and trigger"
        if told is None:
            told = camera.gross(seen, one.watch.reference)
        if told is None and (spot := one.ground.gross(seen_cells)) is not None:
            told = Fault.DIRTY, f"the camera is {spot.words()}, on every part; clean lens and window, or accept it"
        one.last = (seen.fingerprint, inspection.part)
        if told is None:
            _learn(one, seen, seen_edges)
            one.ground = one.ground.moved(seen_cells)
        return CameraLook(
            inspection_id=inspection.id,
            n=n,
            key=key,
            station=inspection.station,
            view=view,
            at=inspection.received_at,
            fingerprint=seen.fingerprint,
            level=seen.level,
            sharpness=_known(seen.sharpness),
            column_shift=_known(seen.column),
            row_shift=_known(seen.row),
            fault=told[0] if told else "",
            message=told[1] if told else "",
        )

    def _load(self, key: str, inspection: Inspection, view: str, cells: tuple[int, ...]) -> _Camera:
        """A camera as the last run of the server left it, or a new one."""
        one = _Camera(inspection.station, view, inspection.product, inspection.received_at, Watch())
        with self._context.database.read() as session:
            newest = select(CameraLook).where(CameraLook.key == key).order_by(col(CameraLook.inspection_id).desc())
            if last := session.exec(newest.limit(1)).first():
                shown = session.get(Inspection, last.inspection_id)
                one.last = (last.fingerprint, shown.part if shown else "")
            if row := session.get(CameraReference, key):
                one.edges = np.frombuffer(row.edges, np.float16).reshape(row.height, row.width).astype(np.float32)
                one.since, one.stored = row.since, True
                if row.cells is not None:
                    one.ground = camera_dirt.from_bytes(row.cells, (cells[0], cells[1]))
                    one.ground_stored = one.ground.learnt
                good = select(CameraLook).where(
                    CameraLook.key == key, CameraLook.fault == "", col(CameraLook.at) >= row.since
                )
                first = list(session.exec(good.order_by(col(CameraLook.inspection_id)).limit(camera.LEARN)))
                answered = alarms.last_answer(session, kind="camera", station=inspection.station) or row.since
                late_ones = good.where(col(CameraLook.at) > answered)
                late = list(session.exec(late_ones.order_by(col(CameraLook.inspection_id).desc()).limit(REPLAYED)))
                known = {look.inspection_id for look in first}
                for look in [*first, *(look for look in reversed(late) if look.inspection_id not in known)]:
                    one.watch = one.watch.moved(_look(look))
        return one


def start(context: Context) -> Cameras | None:
    """Start watching cameras unless the settings say otherwise; a line in `server.parts.PARTS`."""
    if not context.settings.camera_checks:
        return None
    cameras = context.cameras = Cameras(context)
    context.after_inspection.append(cameras.after_inspection)
    return cameras


def problem(faults: Sequence[CameraLook]) -> str:
    """The sentence that a part's inspection carries instead of a verdict on the part."""
    return "camera fault: " + "; ".join(f"{row.view or f'picture {row.n}'}: {row.message}" for row in faults)


def _learn(one: _Camera, seen: Look, seen_edges: camera.Floats) -> None:
    number = len(one.watch.learnt)
    if one.edges is None:
        one.edges = seen_edges
    elif not one.stored and number < camera.LEARN_FIRST and not math.isnan(seen.column):
        step = (camera.moved_back(seen_edges, seen.column, seen.row) - one.edges) / np.float32(number + 1)
        one.edges = np.asarray(one.edges + step, np.float32)
    one.watch = one.watch.moved(seen)


def _alarms(one: _Camera) -> dict[str, tuple[str, int]]:
    """Measure -> what changed in words, and how many pictures ago; a spot only where nothing else has changed, as a
    camera that was moved has others of its edges there."""
    found = one.watch.alarms()
    spot = None if found else one.ground.spot()
    return found if spot is None else {"spot": (spot.words(), spot.parts)}


def _has_reference(one: _Camera) -> bool:
    return len(one.watch.learnt) >= camera.LEARN_FIRST and one.edges is not None


def _is_unstored(one: _Camera) -> bool:
    return _has_reference(one) and (not one.stored or (one.ground.learnt and not one.ground_stored))


def _reference_row(key: str, one: _Camera) -> CameraReference:
    assert one.edges is not None
    return CameraReference(
        key=key,
        station=one.station,
        view=one.view,
        product=one.product,
        height=one.edges.shape[0],
        width=one.edges.shape[1],
        edges=one.edges.astype(np.float16).tobytes(),
        cells=camera_dirt.to_bytes(one.ground) if one.ground.learnt else None,
        since=one.since,
    )


def _around(session: Session, key: str, ago: int) -> tuple[list[str], list[str], datetime | None]:
    """Ids of the last good pictures before a change and the first ones since, and when it began."""
    good = select(CameraLook).where(CameraLook.key == key, CameraLook.fault == "")
    newest = list(session.exec(good.order_by(col(CameraLook.inspection_id).desc()).limit(ago + alarms.SHOWN)))
    rows = newest[::-1]
    changed = rows[-ago:]
    before = [row.inspection_id for row in rows[: len(rows) - len(changed)]]
    after = [row.inspection_id for row in changed[: alarms.SHOWN]]
    return before[-alarms.SHOWN :], after, changed[0].at if changed else None


def _look(row: CameraLook) -> Look:
    unknown = (math.nan if value is None else value for value in (row.sharpness, row.column_shift, row.row_shift))
    sharpness, column, place_row = unknown
    return Look(row.fingerprint, 0.0, 255.0, row.level, sharpness, column, place_row)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _told(one: _Camera) -> dict[str, Any]:
    learnt = len(one.watch.learnt)
    return {
        "station": one.station,
        "view": one.view,
        "product": one.product,
        "since": one.since,
        "learnt": learnt,
        "learning": learnt < camera.LEARN,
        "usual": {
            name: {"centre": round(known.centre, 4), "spread": round(known.spread, 4)}
            for name, known in one.watch.reference.items()
        },
        "changed": {name: words for name, (words, _) in _alarms(one).items()},
    }
