"""Drift: every verdict moves its station's charts, and what the encoder saw fills its windows; a lasting shift raises
an alarm with parts before and after.

The charts are rebuilt from the inspections at start, so that nothing is lost and nothing is stored twice. Another
champion begins them anew: its rate is its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from qc.drift import LEARN, WINDOWS, Appearance, Charts, Shift
from qc.features import Vector, from_bytes
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from server import alarms, drift_labels, retrain_asking
from server.context import Context
from server.features_records import IMAGE, Feature
from server.watch_records import Alarm

KINDS = retrain_asking.DRIFT
"""Kinds of alarms that are raised here."""
REPLAYED = 2_000
"""Parts that the charts are rebuilt from at start, besides those learnt from; an alarm needs far fewer."""
EVER = datetime(2000, 1, 1, tzinfo=UTC)

Key = tuple[str, str, str]
"""Station, product, model."""
View = tuple[str, str, str, str, str]
"""Station, product, view, encoder, runtime: vectors of another runtime are a little different."""


class Drift:
    """The charts of every station. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._charts: dict[Key, Charts] = {}
        self._views: dict[View, Appearance] = {}
        self._lock = threading.Lock()
        self._answers = 0
        """Alarms that were closed since the start."""

    def after_inspection(self, session: Session, inspection: Inspection, exposures: list[Exposure]) -> None:
        """A hook: moves the charts, and raises an alarm in the transaction of the verdict that completes it."""
        if inspection.progress != Progress.DONE or inspection.score is None or inspection.model is None:
            return
        key = (inspection.station, inspection.product, inspection.model)
        with self._lock:
            charts = self._charts.get(key)
            if charts is None:  # the new verdict is among the rows that it is rebuilt from
                charts = rebuilt(session, key)
            else:
                charts = charts.moved(inspection.said != Verdict.OK, inspection.score)
            self._charts[key] = charts
        for shift in charts.shifts():
            self._raise(session, key, shift)

    def looked_at(self, inspections: Sequence[str]) -> None:
        """What the encoder saw of these parts, which are stored, moves the windows of their cameras."""
        with self._context.database.read() as session:
            rows = session.execute(_seen().where(col(Feature.inspection_id).in_(inspections))).all()
            for row in rows:
                view = _view_of(row)
                with self._lock:
                    known = self._views.get(view)
                    moved = (
                        watched(session, view, upto=row.inspection_id) if known is None else known.moved(_vector(row))
                    )
                    self._views[view] = moved
                if moved.shifted is not None:
                    self._raise_view(view, moved.shifted, upto=row.inspection_id)

    def answered(self, alarm: Alarm) -> None:
        """An alarm was closed: the charts of its station begin anew, and what is usual too where that was said."""
        with self._lock:
            self._answers += 1
            for key in [key for key in self._charts if key[0] == alarm.station]:
                if alarm.figures.get("relearn"):
                    self._charts[key] = Charts()
                else:
                    self._charts[key] = self._charts[key].begun()
            for view in [view for view in self._views if view[0] == alarm.station]:
                self._views[view] = Appearance() if alarm.figures.get("relearn") else self._views[view].begun()

    def forget(self, station: str) -> None:
        """Of a station whose verdicts were not kept."""
        with self._lock:
            for key in [key for key in self._charts if key[0] == station]:
                del self._charts[key]

    def charts(self, session: Session, key: Key) -> Charts:
        """The charts of a station, product and model as they are now; rebuilt where nothing came since the start."""
        with self._lock:
            known, answers = self._charts.get(key), self._answers
        if known is not None:
            return known
        found = rebuilt(session, key)
        with self._lock:  # a verdict or a person's answer that came meanwhile goes first
            return self._charts.setdefault(key, found) if answers == self._answers else found

    def state(self) -> dict[str, Any]:
        """For /health."""
        with self._lock:
            shifted = sorted({key[0] for key, charts in self._charts.items() if charts.shifts()})
        state: dict[str, Any] = {"state": "degraded" if shifted else "ok", "charts": len(self._charts)}
        return state | (
            {"message": f"verdicts have shifted at {', '.join(shifted)}; see the alarms"} if shifted else {}
        )

    def stop(self) -> None:
        """Nothing runs by itself."""

    def _raise(self, session: Session, key: Key, shift: Shift) -> None:
        station, product, model = key
        newest = _of(key).order_by(col(Inspection.id).desc()).limit(shift.parts + alarms.SHOWN)
        rows = list(session.exec(newest))[::-1]
        since = rows[-shift.parts :]
        before = rows[: len(rows) - len(since)]
        raised = alarms.raise_once(
            session,
            self._context.events,
            kind=shift.what,
            station=station,
            what=product,
            message=f"{station}: {shift.message}, for {shift.parts} parts; look at the parts before and after",
            since=since[0].received_at,
            now=self._context.now(),
            before=[row.id for row in before[-alarms.SHOWN :]],
            after=[row.id for row in since[: alarms.SHOWN]],
            figures={"product": product, "model": model, "parts": shift.parts},
        )
        self._learn(session, raised)

    def _learn(self, session: Session, raised: Alarm | None) -> None:
        """A new alarm asks for labels of what is new, and for a retraining where there are labels for it; else those
        that come next do."""
        if raised is None:
            return
        settings, now = self._context.settings, self._context.now()
        session.flush()
        drift_labels.ask(session, raised, now=now)
        if settings.retrain_on_drift:
            retrain_asking.ask_if_enough(session, after_labels=settings.retrain_after_labels, on_drift=True, now=now)

    def _raise_view(self, view: View, shift: Shift, *, upto: str) -> None:
        station, product, name, encoder, _ = view
        with self._context.database.write() as session:
            newest = _seen(view).where(col(Feature.inspection_id) <= upto).order_by(col(Feature.inspection_id).desc())
            rows = session.execute(newest.limit(shift.parts + alarms.SHOWN)).all()[::-1]
            since, before = rows[-shift.parts :], rows[: max(len(rows) - shift.parts, 0)]
            if not since:
                return  # erased meanwhile
            raised = alarms.raise_once(
                session,
                self._context.events,
                kind=shift.what,
                station=station,
                what=f"{product} {name}".strip(),
                message=f"{station}{f', view {name}' if name else ''}: {shift.message}, since {shift.parts} parts ago; "
                "look at the parts before and after",
                since=since[0].at,
                now=self._context.now(),
                before=[row.inspection_id for row in before],
                after=[row.inspection_id for row in since[: alarms.SHOWN]],
                figures={"product": product, "view": name, "model": encoder, "parts": shift.parts},
            )
            self._learn(session, raised)
            session.commit()


def watched(session: Session, view: View, *, upto: str) -> Appearance:
    """The windows of a camera as the stored features leave them, those of `upto` included; nothing is tested twice."""
    learn_from, watch_from = _answered(session, view[0])
    mine = _seen(view).where(col(Feature.inspection_id) <= upto)
    oldest, newest = col(Feature.inspection_id), col(Feature.inspection_id).desc()
    first = session.execute(mine.where(col(Feature.at) > learn_from).order_by(oldest).limit(LEARN)).all()
    late = mine.where(col(Feature.at) > watch_from)
    if first:
        late = late.where(col(Feature.inspection_id) > first[-1].inspection_id)
    recent = session.execute(late.order_by(newest).limit(2 * max(WINDOWS))).all()[::-1]
    seen = session.execute(sql_select(func.count()).select_from(late.subquery())).scalar_one()
    if len(first) < LEARN:
        recent, seen = [], 0
    return Appearance(tuple(map(_vector, first)), tuple(map(_vector, recent)), seen)


def rebuilt(session: Session, key: Key) -> Charts:
    """The charts as the stored inspections leave them, the newest included."""
    learn_from, watch_from = _answered(session, key[0])
    few = col(Inspection.id), col(Inspection.verdict), col(Inspection.model_verdict), col(Inspection.score)
    after = _of(key).where(col(Inspection.received_at) > learn_from).with_only_columns(*few)
    first = session.execute(after.order_by(col(Inspection.id)).limit(LEARN)).all()
    late = after.where(col(Inspection.received_at) > watch_from).order_by(col(Inspection.id).desc()).limit(REPLAYED)
    known = {row.id for row in first}
    charts = Charts()
    for row in [*first, *(row for row in reversed(session.execute(late).all()) if row.id not in known)]:
        said = Verdict(row.model_verdict) if row.model_verdict else row.verdict
        charts = charts.moved(said != Verdict.OK, row.score or 0.0)
    return charts


def _answered(session: Session, station: str) -> tuple[datetime, datetime]:
    """From when on what is usual at a station is learnt, and from when on it is watched: a person said so."""
    answers = [
        alarm
        for kind in KINDS
        for alarm in alarms.newest(session, kind=kind, station=station, limit=1000)
        if alarm.closed_at is not None
    ]
    learn_from = max((a.closed_at for a in answers if a.closed_at and a.figures.get("relearn")), default=EVER)
    return learn_from, max((a.closed_at for a in answers if a.closed_at), default=learn_from)


def _seen(view: View | None = None) -> Any:
    """The vectors of whole images, of one camera or all."""
    wanted = sql_select(
        col(Feature.inspection_id),
        col(Feature.n),
        col(Feature.station),
        col(Feature.product),
        col(Exposure.view),
        col(Feature.encoder),
        col(Feature.runtime),
        col(Feature.at),
        col(Feature.vector),
    ).join(Exposure, (col(Exposure.inspection_id) == col(Feature.inspection_id)) & (col(Exposure.n) == col(Feature.n)))
    wanted = wanted.where(col(Feature.defect) == IMAGE)
    if view is None:
        return wanted.order_by(col(Feature.inspection_id), col(Feature.n))
    station, product, name, encoder, runtime = view
    return wanted.where(
        col(Feature.station) == station,
        col(Feature.product) == product,
        col(Exposure.view) == name,
        col(Feature.encoder) == encoder,
        col(Feature.runtime) == runtime,
    )


def _view_of(row: Any) -> View:
    return row.station, row.product, row.view, row.encoder, row.runtime


def _vector(row: Any) -> Vector:
    return from_bytes(row.vector)


def _of(key: Key) -> Any:
    station, product, model = key
    return select(Inspection).where(
        Inspection.station == station,
        Inspection.product == product,
        Inspection.model == model,
        Inspection.progress == Progress.DONE,
    )


def start(context: Context) -> Drift:
    """Start watching verdicts; a line in `server.parts.PARTS`."""
    drift = context.drift = Drift(context)
    context.after_inspection.append(drift.after_inspection)
    return drift
