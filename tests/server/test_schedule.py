"""Jobs that the clock asks for: once each until they have ended, at the times that the settings say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger
from sqlmodel import select

from labeling.records import LabelTask, TaskState
from qc.errors import InvalidInput
from server import assigning, registry, retrain_asking
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.jobs.schedule import AtTimes, Schedule
from server.where import Where

LEASE = timedelta(minutes=5)


def test_what_the_clock_asks_for_again_and_again_is_one_job_until_it_has_ended(database):
    asked = threading.Semaphore(0)
    schedule = Schedule(database.write, clock=lambda: datetime.now(UTC), wake=asked.release)
    schedule.every(0.02, "tidy")
    schedule.start()
    try:
        assert all(asked.acquire(timeout=120) for _ in range(3))
    finally:
        schedule.stop()
    with database.read() as session:
        assert [job.kind for job in session.exec(select(Job))] == ["tidy"]


def test_a_clock_that_is_set_back_holds_up_nothing_that_comes_again_and_again(database):
    asked, now = threading.Semaphore(0), [datetime(2026, 11, 23, 12, tzinfo=UTC)]
    schedule = Schedule(database.write, clock=lambda: now[0], wake=asked.release)
    schedule.every(0.02, "make_room")
    schedule.start()
    try:
        assert asked.acquire(timeout=120)
        now[0] -= timedelta(days=5)
        assert all(asked.acquire(timeout=120) for _ in range(3))
    finally:
        schedule.stop()


def test_a_clock_that_is_set_leaves_out_no_night_but_the_one_it_jumped_over():
    night, noon = datetime(2026, 11, 24, 3, 30, tzinfo=UTC), datetime(2026, 11, 24, 12, tzinfo=UTC)
    when = AtTimes(CronTrigger.from_crontab("30 3 * * *", timezone=UTC), night - timedelta(hours=1))
    assert [when.is_due(night + timedelta(seconds=s)) for s in (-1, 0, -0.5, 0.5, 60)] == [False, True, *[False] * 3]
    assert not when.is_due(noon + timedelta(days=400)), "somebody took one year for another"
    assert when.next == night + timedelta(days=401)
    assert not when.is_due(noon)
    assert when.next == night + timedelta(days=1), "not only in a year"
    assert when.is_due(night + timedelta(days=1))
    assert not when.is_due(noon + timedelta(days=2)), "the computer slept through the night"


def test_a_database_that_is_away_is_asked_again_the_next_time():
    tried = threading.Semaphore(0)

    def away():
        tried.release()
        raise OSError("no disk")

    schedule = Schedule(away, clock=lambda: datetime.now(UTC), wake=lambda: None)
    schedule.every(0.02, "tidy")
    schedule.start()
    try:
        assert all(tried.acquire(timeout=120) for _ in range(3))
    finally:
        schedule.stop()


def test_a_line_that_makes_no_sense_is_refused_and_an_empty_one_means_never(database):
    schedule = Schedule(database.write, clock=lambda: datetime.now(UTC), wake=lambda: None)
    with pytest.raises(InvalidInput, match="the schedule 'every night' of retrain makes no sense"):
        schedule.cron("every night", "retrain")
    schedule.cron(" ", "retrain")
    assert schedule.planned == []


def test_the_settings_say_when_a_retraining_is_asked_for_and_when_golden_parts_are_looked_at(run_line, tmp_path):
    with run_line(tmp_path, retrain_cron="30 4 * * *", golden_cron="0 6,14,22 * * *") as line:
        schedule = line.context.parts["jobs"]._schedule
        planned = {one.kind: one for one in schedule.planned}
        due = planned["retrain"].when.next
        assert (due.hour, due.minute) == (4, 30)
        assert planned["golden_parts"].when.next.hour in (6, 14, 22)
        schedule.ask(planned["retrain"])  # as the clock does then
        (job,) = line.get("/jobs?kind=retrain").json()["items"]
        assert job["kind"] == "retrain"
        with line.context.database.read() as session:
            assert session.get(Job, job["id"]).arguments == {"why": "by schedule"}


def test_the_clock_has_places_retrained_that_have_labels_their_model_has_not_learnt_from(run_line, tmp_path):
    with run_line(tmp_path, retrain_cron="30 4 * * *") as line:
        schedule = line.context.parts["jobs"]._schedule
        planned = {one.kind: one for one in schedule.planned}
        line.context.parts.pop("jobs").stop()  # what is asked for waits
        now = line.context.now()
        sent = line.send(line.picture(doubtful=9), product="bar").json()
        with line.context.database.write() as session:
            registry.add(session, model_id="sha256:own", folder="models/none", card={}, now=now)
            for where in (Where("bar"), Where("seat")):
                own = {"where": where, "by": "eva", "at": now - timedelta(minutes=1), "reason": "it differs"}
                assigning.assign(session, line.context.events, "sha256:own", **own)
            task = session.exec(select(LabelTask).where(LabelTask.inspection_id == sent["id"])).one()
            task.state, task.closed_at = TaskState.DONE, now
            session.add(task)
            session.commit()
        for asked in (["bar"], []):  # the second time nothing is new
            schedule.ask(planned["retrain_places"])
            with line.context.database.write() as session:
                held = queue.claim(session, "me", kinds=["retrain_places"], now=line.context.now(), lease=LEASE)
                session.commit()
            run = JobRun(
                held, line.context.database.write, lambda: now + timedelta(minutes=1), LEASE, threading.Event()
            )
            assert retrain_asking.by_schedule(run) == {"asked": asked}
        with line.context.database.read() as session:
            (job,) = session.exec(select(Job).where(Job.kind == "retrain"))
        assert job.arguments == {"why": "by schedule, 1 new labels", "product": "bar", "station": ""}
