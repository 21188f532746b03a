"""Threads that take jobs and do them, with heartbeats, retries and a clean stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput, NotFound, QcError
from qc.ports import Clock
from server.jobs import queue
from server.jobs.queue import Claim, LeaseLost
from server.jobs.records import Job, JobState
from server.jobs.worker import name_of_this_process, surely_dead

log = structlog.get_logger(__name__)

SessionFactory = Callable[[], Session]


class Stopping(Exception):
    """This process is stopping; the job goes back to the queue and goes on later from what it left on disk."""


class JobRun:
    """One attempt at a job, as its handler sees it."""

    def __init__(
        self, claim: Claim, sessions: SessionFactory, clock: Clock, lease: timedelta, stop: threading.Event
    ) -> None:
        self.claim = claim
        self.id = claim.id
        self.arguments = claim.arguments
        self.sessions = sessions
        """Opens a session on the database; a handler closes what it opens."""
        self.clock = clock
        self.lease = lease
        self.lost = threading.Event()
        """Set once somebody else holds the job, or a person cancelled it."""
        self.finished = False
        self._stop = stop

    def check(self) -> None:
        """To be called between steps: raises Stopping or LeaseLost when the work should end here."""
        if self.lost.is_set():
            raise LeaseLost(f"job {self.id} was taken away")
        if self._stop.is_set():
            raise Stopping

    def report(self, progress: float | None = None, message: str | None = None) -> None:
        """Say how far it is, and move the lease on. Raises LeaseLost."""
        with self.sessions() as session:
            queue.heartbeat(session, self.claim, now=self.clock(), lease=self.lease, progress=progress, message=message)
            session.commit()

    def finish(self, session: Session, result: dict[str, Any] | None = None) -> None:
        """End the job in the transaction of its effect, which the handler commits next. Raises LeaseLost."""
        queue.finish(session, self.claim, now=self.clock(), result=result)
        self.finished = True


Handler = Callable[[JobRun], dict[str, Any] | None]
"""Does a job. It may end the job itself by `JobRun.finish`; otherwise what it returns becomes the result. It may be run
again after a crash at any point, so each step must be repeatable. InvalidInput, NotFound and Conflict fail the job for
good; any other error is tried again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of job is done."""

    run: Handler
    lane: str = "quick"
    """Jobs of one lane are done one after the other; a long one must not hold up the quick ones."""


class Runner:
    """Takes jobs from the table and does them, one thread for each lane."""

    def __init__(
        self,
        sessions: SessionFactory,
        kinds: Mapping[str, Kind],
        *,
        clock: Clock,
        lease: timedelta = timedelta(seconds=30),
        rest: float = 1.0,
        changed: Callable[[Job], None] = lambda job: None,
        home: str | None = None,
        looks: SessionFactory | None = None,
    ) -> None:
        """
        Args:
            looks: opens a session that only reads, to see whether there is a job; by default as `sessions`.
            lease: how long a silent holder keeps its job; heartbeats come three times as often.
            rest: seconds between two looks at the table when nobody calls `wake`.
            home: the data folder whose own jobs are done, too.
            changed: told of every job whose state, progress or message changed, outside of any transaction.
        """
        self._sessions, self._kinds, self._clock = sessions, kinds, clock
        self._lease, self._rest, self._changed, self._home = lease, rest, changed, home
        self._looks = looks or sessions
        self.worker = name_of_this_process()
        self._stop = threading.Event()
        self._wakes = {kind.lane: threading.Event() for kind in kinds.values()}
        self._threads: list[threading.Thread] = []
        self._failing: str | None = None

    def start(self) -> None:
        """Let the jobs of dead processes be taken at once, then begin."""
        self._free_jobs_of_the_dead()
        for lane in self._wakes:
            thread = threading.Thread(target=self._work, args=(lane,), name=f"jobs-{lane}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Something was enqueued and committed: look now."""
        for wake in self._wakes.values():
            wake.set()

    def stop(self, *, patience: float = 20.0) -> None:
        """Stop taking jobs; a running one is asked to stop and goes back to the queue."""
        self._stop.set()
        self.wake()
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.1))

    def health(self) -> dict[str, Any]:
        """Are the threads alive and the table readable?"""
        alive = bool(self._threads) and all(t.is_alive() for t in self._threads)
        well = alive and self._failing is None
        return {"state": "ok" if well else "failing", "problem": self._failing, "worker": self.worker}

    def run_one(self, lane: str = "quick") -> bool:
        """Take one job of a lane and do it in this thread; False when there was none."""
        kinds = [name for name, kind in self._kinds.items() if kind.lane == lane]
        now = self._clock()
        with self._looks() as session:
            if not queue.is_any(session, kinds=kinds, now=now, home=self._home):
                return False
        with self._sessions() as session:
            claim = queue.claim(session, self.worker, kinds=kinds, now=now, lease=self._lease, home=self._home)
            session.commit()
        if claim is None:
            return False
        self._do(claim)
        return True

    def _work(self, lane: str) -> None:
        wake = self._wakes[lane]
        looked_for_dead = time.monotonic()
        while not self._stop.is_set():
            try:
                if time.monotonic() - looked_for_dead > self._lease.total_seconds():
                    looked_for_dead = time.monotonic()
                    self._free_jobs_of_the_dead()
                busy = self.run_one(lane)
                self._failing = None
            except SQLAlchemyError as error:  # a full disk, a database that restarts: say so, wait, go on
                self._failing = f"the job table cannot be used: {error}"
                log.error("jobs.table", problem=str(error))
                busy = False
            if not busy and not self._stop.is_set():
                wake.wait(self._rest)
                wake.clear()

    def _do(self, claim: Claim) -> None:
        run = JobRun(claim, self._sessions, self._clock, self._lease, self._stop)
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(run, ended), name=f"heartbeat-{claim.kind}", daemon=True)
        beating.start()
        self._tell(claim.id)
        try:
            result = self._kinds[claim.kind].run(run)
            if not run.finished:
                self._end(lambda session: queue.finish(session, claim, now=self._clock(), result=result))
            log.info("jobs.done", job=claim.id, kind=claim.kind)
        except LeaseLost as lost:
            log.warning("jobs.lost", job=claim.id, kind=claim.kind, problem=lost.message)
        except Stopping:
            self._end(lambda session: queue.release(session, claim, now=self._clock()))
        except Exception as error:
            self._failed(claim, error)
        finally:
            ended.set()
            beating.join()
            self._tell(claim.id)

    def _failed(self, claim: Claim, error: Exception) -> None:
        for_good = isinstance(error, InvalidInput | NotFound | Conflict)
        problem = str(error) or type(error).__name__
        log.error(
            "jobs.failed", job=claim.id, kind=claim.kind, problem=problem, exc_info=not isinstance(error, QcError)
        )
        try:
            self._end(lambda session: queue.fail(session, claim, problem, now=self._clock(), for_good=for_good))
        except LeaseLost as lost:
            log.warning("jobs.lost", job=claim.id, kind=claim.kind, problem=lost.message)

    def _end(self, change: Callable[[Session], object]) -> None:
        with self._sessions() as session:
            change(session)
            session.commit()

    def _beat(self, run: JobRun, ended: threading.Event) -> None:
        while not ended.wait(self._lease.total_seconds() / 3):
            try:
                run.report()
            except LeaseLost:
                if not run.finished:
                    run.lost.set()
                return
            except SQLAlchemyError as error:  # the next beat may get through; the lease is three beats long
                log.warning("jobs.heartbeat", job=run.id, problem=str(error))

    def _free_jobs_of_the_dead(self) -> None:
        with self._sessions() as session:
            held = select(Job.worker).where(col(Job.state) == JobState.RUNNING, col(Job.worker).is_not(None)).distinct()
            dead = [worker for worker in session.exec(held) if worker and surely_dead(worker)]
            freed = queue.free(session, dead, now=self._clock())
            session.commit()
        if freed:
            log.info("jobs.freed", count=freed, pid=os.getpid())

    def _tell(self, job_id: str) -> None:
        with self._sessions() as session:
            job = session.get(Job, job_id)
            if job is not None:  # else somebody has removed it, with the part that it was about
                self._changed(job)
