"""Retention: pictures are kept for so many days; verdict, defects, masks and labels stay.

What people labelled, or are asked to label, is kept: a model is trained on it. Each run is one entry of the trail.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from labeling.records import LabelTask
from qc.records import Exposure, Inspection
from qc.verdict import Verdict
from server import audit, erasure_files
from server.context import Context
from server.jobs.runner import JobRun

KIND = "retention"
GONE = ""
"""`Exposure.original_key` of a picture that was kept for its time."""
BATCH = 200
"""Pictures removed between two looks whether the job should end."""


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Remove the pictures whose time is over."""
    settings, now = context.settings, run.clock()
    removed = 0
    for bad, days in ((False, settings.keep_ok_days), (True, settings.keep_ng_days)):
        verdict = col(Inspection.verdict)
        which = verdict != Verdict.OK if bad else verdict == Verdict.OK
        while days > 0 and (gone := _remove(context, which, col(Inspection.received_at) < now - timedelta(days=days))):
            removed += gone
            run.check()
    if removed:
        with context.database.write() as session:
            body = {"pictures": removed, "keep_ok_days": settings.keep_ok_days, "keep_ng_days": settings.keep_ng_days}
            audit.record(session, KIND, run.id, body, by="server", at=now)
            run.finish(session, {"pictures": removed})
            session.commit()
    return {"pictures": removed}


def remove_oldest(context: Context, verdict: Verdict) -> int:
    """Remove some of the oldest pictures of parts with this verdict; how many, 0 when none is left that may go."""
    return _remove(context, col(Inspection.verdict) == verdict)


def _remove(context: Context, *which: ColumnElement[bool]) -> int:
    """Remove the next pictures, `BATCH` at most; how many."""
    with context.database.read() as session:
        over = _next(session, *which)
        shared = _needed(session, over)
    # files first: a stop in between leaves rows whose pictures are removed again, which is no error
    for exposure in over:
        if exposure.sha256 not in shared:
            context.blobs.delete(exposure.original_key)
            erasure_files.forget_pictures(context.cache.root, exposure.sha256)
    with context.database.write() as session:
        for exposure in over:
            session.merge(exposure).original_key = GONE
        session.commit()
    return len(over)


def _next(session: Session, *which: ColumnElement[bool]) -> list[Exposure]:
    """The next pictures of such inspections that nobody labels, the oldest first."""
    wanted = (
        select(Exposure)
        .join(Inspection, col(Inspection.id) == col(Exposure.inspection_id))
        .where(
            Exposure.original_key != GONE,
            *which,
            col(Exposure.inspection_id).not_in(select(LabelTask.inspection_id)),
        )
    )
    return list(session.exec(wanted.order_by(col(Exposure.inspection_id)).limit(BATCH)))


def _needed(session: Session, over: list[Exposure]) -> set[str]:
    """Hashes of pictures that another inspection still shows."""
    mine = [exposure.inspection_id for exposure in over]
    others = select(Exposure.sha256).where(
        col(Exposure.sha256).in_([exposure.sha256 for exposure in over]),
        col(Exposure.inspection_id).not_in(mine),
        Exposure.original_key != GONE,
    )
    return set(session.exec(others))
