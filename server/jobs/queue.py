"""Asking for jobs, taking them, and ending them. Every function takes the session; its caller commits.

A job is taken by one `UPDATE … RETURNING`, so that two processes never take the same one, on SQLite and on
PostgreSQL. Whoever takes it holds a lease, and moves it on with a heartbeat. A lease that ran out is taken again: its
holder was killed or cut off. `attempts` is the fence: the late holder of an older number can neither move nor end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_, update
from sqlmodel import Session, col, select

from qc.errors import Conflict, NotFound
from qc.records import new_id
from server.db import inserting
from server.jobs.records import UNFINISHED, Job, JobState

FIRST_PAUSE = timedelta(seconds=5)
"""Pause after the first failure; it doubles with each. Long enough for a restart of what was missing."""
LONGEST_PAUSE = timedelta(minutes=10)
"""No job is told to wait longer."""


class LeaseLost(Conflict):
    """Somebody else holds this job now, or a person cancelled it; whatever was done for it must not be stored."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do one attempt of one job."""

    id: str
    kind: str
    arguments: dict[str, Any]
    attempt: int
    """1 for the first."""
    worker: str


def enqueue(
    session: Session,
    kind: str,
    arguments: dict[str, Any] | None = None,
    *,
    now: datetime,
    key: str | None = None,
    again: bool = False,
    delay: timedelta = timedelta(0),
    max_attempts: int = 5,
    home: str | None = None,
) -> Job:
    """Ask for a job; with a `key`, an unfinished job of that key is given back instead.

    `again`: should that job be running already (and so may have missed what we ask it to see), a fresh one follows it.
    `home`: only the server of that data folder may do it; its key is its own there.
    """
    key = key if key is None or home is None else f"{key} at {home}"
    values: dict[str, Any] = {
        "id": new_id(),
        "kind": kind,
        "arguments": arguments or {},
        "key": key,
        "home": home,
        "again": False,
        "state": JobState.WAITING.value,
        "attempts": 0,
        "max_attempts": max_attempts,
        "not_before": now + delay,
        "message": "",
        "created_at": now,
    }
    while True:
        insert = inserting(session, Job, values).on_conflict_do_nothing()
        if session.connection().execute(insert.returning(col(Job.id))).first() is not None:
            return get(session, values["id"])
        same = select(Job).where(col(Job.key) == key, col(Job.state).in_(UNFINISHED))
        job = session.exec(same.execution_options(populate_existing=True)).first()
        if job is None:
            continue  # it ended between the two statements
        if again:
            session.connection().execute(
                update(Job).where(col(Job.id) == job.id, col(Job.state) == JobState.RUNNING).values(again=True)
            )
            session.refresh(job)
        return job


def claim(
    session: Session, worker: str, *, kinds: list[str], now: datetime, lease: timedelta, home: str | None = None
) -> Claim | None:
    """Take the oldest job that may begin, or one whose lease ran out; None when there is none.

    `home`: jobs of that data folder, too; else those of any.

    A job that was begun as often as it may, and then lost its holder, is given up here.
    """
    ready = or_(_may_begin(now), _lost(now))
    _give_up_lost(session, now)
    oldest = (
        select(Job.id)
        .where(ready, *_for(kinds, home))
        .order_by(col(Job.not_before), col(Job.id))
        .limit(1)
        .with_for_update(skip_locked=True)
        .correlate(None)
        .scalar_subquery()
    )
    taken = (
        session.connection()
        .execute(
            update(Job)
            .where(col(Job.id) == oldest, ready)
            .values(
                state=JobState.RUNNING.value,
                attempts=col(Job.attempts) + 1,
                worker=worker,
                lease_until=now + lease,
                heartbeat_at=now,
                started_at=case((col(Job.started_at).is_(None), now), else_=col(Job.started_at)),
            )
            .returning(col(Job.id), col(Job.kind), col(Job.arguments), col(Job.attempts))
        )
        .first()
    )
    if taken is None:
        return None
    return Claim(id=taken[0], kind=taken[1], arguments=taken[2], attempt=taken[3], worker=worker)


def is_any(session: Session, *, kinds: list[str], now: datetime, home: str | None = None) -> bool:
    """Is there anything that `claim` would take or give up? Only looks: whoever asks every second need not lock the
    table, and with it SQLite's whole database, out of the verdicts' way each time."""
    mine = and_(_may_begin(now), *_for(kinds, home))
    return session.exec(select(Job.id).where(or_(mine, _lost(now))).limit(1)).first() is not None


def _may_begin(now: datetime) -> ColumnElement[bool]:
    """Its time has come; or is further away than any pause, as the clock was set back since it was asked for."""
    not_before = col(Job.not_before)
    return and_(col(Job.state) == JobState.WAITING, or_(not_before <= now, not_before > now + LONGEST_PAUSE))


def _lost(now: datetime) -> ColumnElement[bool]:
    """Running, and not heard of for as long as its lease."""
    return and_(col(Job.state) == JobState.RUNNING, col(Job.lease_until) < now)


def _for(kinds: list[str], home: str | None) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Jobs of these kinds, of that data folder or of any."""
    return col(Job.kind).in_(kinds), or_(col(Job.home).is_(None), col(Job.home) == home)


def heartbeat(
    session: Session,
    held: Claim,
    *,
    now: datetime,
    lease: timedelta,
    progress: float | None = None,
    message: str | None = None,
) -> None:
    """Still at it; raises LeaseLost when somebody else is."""
    values: dict[str, Any] = {"heartbeat_at": now, "lease_until": now + lease}
    if progress is not None:
        values["progress"] = min(max(progress, 0.0), 1.0)
    if message is not None:
        values["message"] = message
    _change(session, held, values)


def finish(session: Session, held: Claim, *, now: datetime, result: dict[str, Any] | None = None) -> None:
    """Done. In the same transaction as the job's effect, that effect happens exactly once.

    Raises:
        LeaseLost: somebody else holds the job; roll back.
    """
    _change(
        session,
        held,
        {
            "state": JobState.DONE.value,
            "result": result,
            "progress": 1.0,
            "problem": None,
            "finished_at": now,
            "lease_until": None,
        },
    )
    _follow(session, held.id, now)


def fail(session: Session, held: Claim, problem: str, *, now: datetime, for_good: bool = False) -> JobState:
    """This attempt failed: wait and try again, or give up; raises LeaseLost."""
    job = get(session, held.id)
    if for_good or job.attempts >= job.max_attempts:
        state, pause = JobState.FAILED, timedelta(0)
    else:
        state, pause = JobState.WAITING, min(FIRST_PAUSE * 2 ** (job.attempts - 1), LONGEST_PAUSE)
    _change(
        session,
        held,
        {
            "state": state.value,
            "problem": problem,
            "not_before": now + pause,
            "lease_until": None,
            "finished_at": now if state is JobState.FAILED else None,
        },
    )
    if state is JobState.FAILED:
        _follow(session, held.id, now)
    return state


def release(session: Session, held: Claim, *, now: datetime) -> None:
    """Give a job back unfinished because this process is stopping; the attempt does not count. Raises LeaseLost."""
    _change(
        session,
        held,
        {"state": JobState.WAITING.value, "attempts": held.attempt - 1, "not_before": now, "lease_until": None},
    )


def cancel(session: Session, job_id: str, *, now: datetime) -> Job:
    """Call a job off; a running one notices at its next heartbeat. Raises NotFound, Conflict when it has ended."""
    changed = session.connection().execute(
        update(Job)
        .where(col(Job.id) == job_id, col(Job.state).in_(UNFINISHED))
        .values(state=JobState.CANCELLED.value, finished_at=now, lease_until=None)
    )
    job = get(session, job_id)
    if changed.rowcount != 1:
        raise Conflict(f"job {job_id} has ended already: it is {job.state}")
    return job


def free(session: Session, workers: list[str], *, now: datetime) -> int:
    """Let the jobs of workers that are known to be dead be taken at once; returns how many."""
    if not workers:
        return 0
    freed = session.connection().execute(
        update(Job)
        .where(col(Job.state) == JobState.RUNNING, col(Job.worker).in_(workers))
        .values(lease_until=now - timedelta(seconds=1))
    )
    return int(freed.rowcount)


def get(session: Session, job_id: str) -> Job:
    """One job as it stands now; raises NotFound."""
    one = select(Job).where(col(Job.id) == job_id).execution_options(populate_existing=True)
    if job := session.exec(one).first():
        return job
    raise NotFound(f"there is no job {job_id}")


def newest(session: Session, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> list[Job]:
    """Jobs, newest first."""
    jobs = select(Job).order_by(col(Job.created_at).desc(), col(Job.id).desc()).limit(limit)
    if kind is not None:
        jobs = jobs.where(col(Job.kind) == kind)
    if state is not None:
        jobs = jobs.where(col(Job.state) == state)
    return list(session.exec(jobs))


def as_json(job: Job) -> dict[str, Any]:
    """A job in the words of the interface."""
    return {
        "id": job.id,
        "kind": job.kind,
        "product": str(job.arguments.get("product") or ""),
        "station": str(job.arguments.get("station") or ""),
        "state": str(job.state),
        "progress": job.progress,
        "message": job.message,
        "attempts": job.attempts,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "problem": job.problem,
        "result": job.result,
    }


def _change(session: Session, held: Claim, values: dict[str, Any]) -> None:
    """Change a job that we hold, and only then."""
    changed = session.connection().execute(
        update(Job)
        .where(
            col(Job.id) == held.id,
            col(Job.state) == JobState.RUNNING,
            col(Job.worker) == held.worker,
            col(Job.attempts) == held.attempt,
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        raise LeaseLost(f"job {held.id} ({held.kind}) is no longer held by {held.worker}")


def _follow(session: Session, job_id: str, now: datetime) -> None:
    """A job that was asked for again while it ran is followed by a fresh one."""
    ended = get(session, job_id)
    if ended.again:
        key = ended.key and ended.key.removesuffix(f" at {ended.home}")
        most, home = ended.max_attempts, ended.home
        enqueue(session, ended.kind, ended.arguments, now=now, key=key, max_attempts=most, home=home)


def _give_up_lost(session: Session, now: datetime) -> None:
    session.connection().execute(
        update(Job)
        .where(_lost(now), col(Job.attempts) >= col(Job.max_attempts))
        .values(
            state=JobState.FAILED.value,
            problem="the process that ran it died, as often as it may be tried",
            finished_at=now,
            lease_until=None,
        )
    )
