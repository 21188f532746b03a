"""Drift: every verdict moves its station's charts, and a lasting shift raises an alarm with parts before and after.

The charts are rebuilt from the inspections at start, so that nothing is lost and nothing is stored twice. Another
champion begins them anew: its rate is its own.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, select

from qc.drift import LEARN, Charts, Shift
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from server import alarms
from server.context import Context
from server.watch_records import Alarm

KINDS = ("rate", "score")
"""Kinds of alarms that are raised here."""
REPLAYED = 2_000
"""Parts that the charts are rebuilt from at start, besides those learnt from; an alarm needs far fewer."""
EVER = datetime(2000, 1, 1, tzinfo=UTC)

Key = tuple[str, str, str]
"""Station, product, model."""


class Drift:
    """The charts of every station. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._charts: dict[Key, Charts] = {}
        self._lock = threading.Lock()

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
                charts = charts.moved(inspection.verdict != Verdict.OK, inspection.score)
            self._charts[key] = charts
        for shift in charts.shifts():
            self._raise(session, key, shift)

    def answered(self, alarm: Alarm) -> None:
        """An alarm was closed: the charts of its station begin anew, and what is usual too where that was said."""
        with self._lock:
            for key in [key for key in self._charts if key[0] == alarm.station]:
                if alarm.figures.get("relearn"):
                    self._charts[key] = Charts()
                else:
                    self._charts[key] = self._charts[key].begun()

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
        alarms.raise_once(
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


def rebuilt(session: Session, key: Key) -> Charts:
    """The charts as the stored inspections leave them, the newest included."""
    answers = [
        alarm
        for kind in KINDS
        for alarm in alarms.newest(session, kind=kind, station=key[0], limit=1000)
        if alarm.closed_at is not None
    ]
    learn_from = max((a.closed_at for a in answers if a.closed_at and a.figures.get("relearn")), default=EVER)
    watch_from = max((a.closed_at for a in answers if a.closed_at), default=learn_from)
    after = _of(key).where(col(Inspection.received_at) > learn_from)
    first = list(session.exec(after.order_by(col(Inspection.id)).limit(LEARN)))
    late = after.where(col(Inspection.received_at) > watch_from).order_by(col(Inspection.id).desc()).limit(REPLAYED)
    known = {row.id for row in first}
    charts = Charts()
    for row in [*first, *(row for row in reversed(list(session.exec(late))) if row.id not in known)]:
        charts = charts.moved(row.verdict != Verdict.OK, row.score or 0.0)
    return charts


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
