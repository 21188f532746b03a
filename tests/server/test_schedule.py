"""Jobs that the clock asks for: once each until they have ended, at the times that the settings say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlmodel import select

from qc.errors import InvalidInput
from server.jobs.records import Job
from server.jobs.schedule import Schedule


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


def test_a_line_that_makes_no_sense_is_refused_and_an_empty_one_means_never(database):
    schedule = Schedule(database.write, clock=lambda: datetime.now(UTC), wake=lambda: None)
    with pytest.raises(InvalidInput, match="the schedule 'every night' of retrain makes no sense"):
        schedule.cron("every night", "retrain")
    schedule.cron(" ", "retrain")
    assert schedule._scheduler.get_jobs() == []


def test_the_settings_say_when_a_retraining_is_asked_for_and_when_golden_parts_are_looked_at(run_line, tmp_path):
    with run_line(tmp_path, retrain_cron="30 4 * * *", golden_cron="0 6,14,22 * * *") as line:
        planned = {job.args[0]: job for job in line.context.parts["jobs"]._schedule._scheduler.get_jobs()}
        due = planned["retrain"].next_run_time
        assert (due.hour, due.minute) == (4, 30)
        assert planned["golden_parts"].next_run_time.hour in (6, 14, 22)
        planned["retrain"].func(*planned["retrain"].args)  # as the clock does then
        (job,) = line.get("/jobs?kind=retrain").json()["items"]
        assert job["kind"] == "retrain"
        with line.context.database.read() as session:
            assert session.get(Job, job["id"]).arguments == {"why": "by schedule"}
