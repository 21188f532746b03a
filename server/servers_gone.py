"""Servers that are gone for good: what only they could do ends, and the trail says so.

A server that was silent for `QC_FORGET_SERVER_DAYS` is forgotten by one of the others, once::

    parts it took in that nobody else could judge    set aside for a person, as any part that cannot be judged
    jobs that only it could do                       called off, without their words
    its row                                          removed, so that nobody waits for it or counts it

Erasures that its disk has not heard of cannot be made good without it: their number is in the trail, and should that
data folder come back, its server says so until it is begun anew.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import structlog
from sqlalchemy import func, text
from sqlmodel import Session, col, select

from qc.errors import Unavailable
from qc.records import NOT_JUDGED, Inspection
from server import audit, judging
from server.audit import AuditEntry
from server.context import Context
from server.jobs.records import UNFINISHED, Job, JobState
from server.servers_records import ServerHome

log = structlog.get_logger(__name__)

FORGOTTEN, BACK = "server forgotten", "server back"
"""Kinds of entries of the trail, about a data folder by its name."""
ERASE_HERE = "erase_here"
"""Kind of the job that removes from one data folder what was erased at another server (`server.erasure`)."""


def silent_for(seconds: float) -> Any:
    """For `where`: servers that have been silent for so long, by the database's clock."""
    span = text("make_interval(secs => :silent)").bindparams(silent=seconds)
    return col(ServerHome.seen_at) < func.clock_timestamp() - span


def forget(context: Context, home: str, *, days: float) -> bool:
    """Forget the server of the data folder `home`, which has been silent for so many days.

    Returns:
        Whether it was forgotten here; False where it has come back, or another server is at it or was.
    """
    with context.database.read() as session:
        row = session.get(ServerHome, home)
        left = session.exec(select(Inspection.id).where(NOT_JUDGED, Inspection.keeper == home)).all()
    if row is None:
        return False
    why = f"the server {row.address}, which took it in, was silent for {days:g} days, and no other one could judge it"
    for inspection_id in left:
        # a transaction for each: whatever a verdict brings along must not wait for all the others
        judging.record_failure(context, inspection_id, Unavailable(why), elapsed_ms=0.0)
    with context.database.write() as session:
        mine = select(ServerHome).where(ServerHome.home == home, silent_for(86400 * days))
        row = session.exec(mine.with_for_update(skip_locked=True)).first()
        if row is None or session.exec(select(Inspection.id).where(NOT_JUDGED, Inspection.keeper == home)).first():
            return False
        called_off = _call_off(session, context, home)
        told = {"address": row.address, "seen_at": row.seen_at.isoformat(), "parts": len(left), "jobs": called_off}
        session.delete(row)
        audit.record(session, FORGOTTEN, home, told, by="server", at=context.now())
        session.commit()
    log.warning("a server is forgotten", home=home, **told)
    return True


def welcome(context: Context, session: Session, home: str) -> str:
    """A server begins to live: it may have been forgotten and be back; the caller commits.

    Returns:
        What is wrong with its data folder; empty where nothing is.
    """
    about = select(AuditEntry).where(AuditEntry.subject == home, col(AuditEntry.kind).in_((FORGOTTEN, BACK)))
    last = session.exec(about.order_by(col(AuditEntry.n).desc()).limit(1)).first()
    if last is None:
        return ""
    if last.kind == FORGOTTEN:
        since = select(func.count()).where(AuditEntry.kind == audit.ERASURE, col(AuditEntry.n) > last.n)
        missed = int(json.loads(last.body)["jobs"].get(ERASE_HERE, 0)) + session.exec(since).one()
        last = audit.record(session, BACK, home, {"erasures": missed}, by="server", at=context.now())
    missed = json.loads(last.body)["erasures"]
    if not missed:
        return ""
    return (
        f"this server was forgotten while it was away, and {missed} erasures have not reached its disk: stop it, keep "
        "what of QC_HOME is yours to keep (settings, products, keys), and begin with an empty data folder"
    )


def _call_off(session: Session, context: Context, home: str) -> dict[str, int]:
    """End the jobs that only that server could do; how many, by kind."""
    jobs = session.exec(select(Job).where(Job.home == home, col(Job.state).in_(UNFINISHED))).all()
    for job in jobs:
        job.state, job.finished_at, job.lease_until = JobState.CANCELLED, context.now(), None
        job.problem = "the only server that could do it was away for too long, and is forgotten"
        job.arguments, job.key = {}, None
        session.add(job)
    return dict(Counter(job.kind for job in jobs))
