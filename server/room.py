"""Room on the disk: where little is left, pictures go before their time, those of parts that passed first.

The order is that of `FIRST`, the oldest of each first; pictures of bad parts are the last to go. What people labelled,
or are asked to label, stays, and so do verdicts, defects and masks (`retention`). Each time is one entry of the trail,
and an alarm stands until there is room again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from qc.object_stores import is_remote
from qc.verdict import Verdict
from server import alarms, audit, retention
from server.context import Context
from server.jobs.runner import JobRun

KIND = "make_room"
EVERY_S = 60.0
"""How often it is looked."""
FIRST = (Verdict.OK, Verdict.REVIEW, Verdict.NG)
BEYOND = 1.1
"""So many times the limit is made free, or every minute would remove a few."""
ALARM = "disk"
GIB = 2**30


def free_gb(context: Context) -> float:
    """What is free where pictures are stored on this computer, in 2^30 bytes."""
    settings = context.settings
    apart = settings.blobs and not is_remote(settings.blobs)
    return shutil.disk_usage(Path(settings.blobs) if apart else settings.home).free / GIB


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Remove pictures until there is room; does nothing while there is.

    It stops as soon as a removal frees nothing: then something else fills the disk, and pictures must not pay for it.
    Pictures in an object store are never removed: that would make no room here.

    Returns:
        `pictures`: how many were removed, by verdict.
    """
    limit = context.settings.make_room_gb
    if free_gb(context) >= limit:
        _all_well(context, run)
        return {"pictures": {}}
    removed = Counter[str]()
    free, helps = free_gb(context), not is_remote(context.settings.blobs)
    for verdict in FIRST:
        while helps and free < BEYOND * limit:
            gone = retention.remove_oldest(context, verdict)
            if not gone:
                break
            removed[verdict.value] += gone
            before, free = free, free_gb(context)
            helps = free > before
            run.check()
    told = _told(removed, free, limit)
    now = run.clock()
    with context.database.write() as session:
        if removed:
            body = {"pictures": dict(removed), "free_gb": round(free, 2), "make_room_gb": limit}
            audit.record(session, KIND, run.id, body, by="server", at=now)
        alarms.raise_once(
            session, context.events, kind=ALARM, station="server", what="room", message=told, since=now, now=now,
            before=(), after=(), figures={"removed": dict(removed), "free_gb": round(free, 2)},
        )  # fmt: skip
        run.finish(session, {"pictures": dict(removed)})
        session.commit()
    return {"pictures": dict(removed)}


def _told(removed: Counter[str], free: float, limit: float) -> str:
    """In one sentence: what went, and what is left to do."""
    begins = f"less than {limit:g} GiB of disk were free"
    if not removed:
        return f"{begins}, and no picture may go, or it would make no room: make some before the line stops"
    gone = ", ".join(f"{removed[v.value]} of {v.value} parts" for v in FIRST if removed[v.value])
    return f"{begins}: the oldest pictures were removed ({gone}); {free:.1f} GiB are free now"


def _all_well(context: Context, run: JobRun) -> None:
    with context.database.read() as session:
        if not alarms.open_ones(session, kind=ALARM):
            return
    with context.database.write() as session:
        for alarm in alarms.open_ones(session, kind=ALARM):
            alarms.close(session, context.events, alarm, by="server", reason="there is room again", now=run.clock())
        session.commit()
