"""What the job table promises, on every database."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from qc.errors import Conflict, InvalidInput, NotFound
from server.jobs import queue
from server.jobs.queue import LeaseLost
from server.jobs.records import Job, JobState
from server.jobs.runner import Kind, Runner

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
KINDS = ["push", "collect"]


@pytest.fixture
def session(sessions):
    with sessions() as session:
        yield session


def take(session, worker="a", *, now=NOON):
    claim = queue.claim(session, worker, kinds=KINDS, now=now, lease=LEASE)
    session.commit()
    return claim


def ask(session, kind="push", **wishes):
    job = queue.enqueue(session, kind, {"task": 1}, **{"now": NOON, **wishes})
    session.commit()
    return job


def test_a_job_is_taken_once_and_done(session):
    job = ask(session)
    claim = take(session)

    assert (claim.id, claim.arguments, claim.attempt) == (job.id, {"task": 1}, 1)
    assert take(session, "b") is None
    queue.finish(session, claim, now=NOON, result={"pushed": 3})
    session.commit()
    done = queue.get(session, job.id)
    assert (done.state, done.result, done.progress, done.finished_at) == ("done", {"pushed": 3}, 1.0, NOON)
    assert take(session) is None


def test_what_was_asked_for_before_the_clock_was_set_back_waits_for_no_old_time(session):
    asked = ask(session)
    before = NOON - timedelta(days=5)
    assert queue.is_any(session, kinds=KINDS, now=before)
    claim = take(session, now=before)
    assert claim.id == asked.id
    assert take(session, "b", now=before + timedelta(seconds=5)) is None, "its lease is of the time that is now"
    queue.fail(session, claim, "away", now=before)
    session.commit()
    assert take(session, now=before) is None, "a pause is no set clock"
    assert take(session, now=before + queue.FIRST_PAUSE).id == asked.id


def test_the_oldest_comes_first_and_only_kinds_that_were_asked_for(session):
    later = ask(session, now=NOON + timedelta(seconds=1))
    first = ask(session)
    ask(session, kind="somebody-elses")

    now = NOON + timedelta(seconds=2)
    assert [take(session, now=now).id, take(session, now=now).id] == [first.id, later.id]
    assert take(session, now=now) is None


def test_a_delayed_job_waits(session):
    ask(session, delay=timedelta(seconds=10))

    assert take(session) is None
    assert take(session, now=NOON + timedelta(seconds=10)) is not None


def test_asking_twice_with_one_key_gives_one_job_until_it_has_ended(session):
    first = ask(session, key="sweep")

    assert ask(session, key="sweep").id == first.id
    claim = take(session)
    assert ask(session, key="sweep").id == first.id
    queue.finish(session, claim, now=NOON)
    session.commit()
    assert ask(session, key="sweep").id != first.id


def test_a_job_asked_for_again_while_it_runs_is_followed_by_another(session):
    first = ask(session, key="collect-7", again=True)
    claim = take(session)
    ask(session, key="collect-7", again=True)
    ask(session, key="collect-7", again=True)
    queue.finish(session, claim, now=NOON)
    session.commit()

    second = take(session)
    assert second.id != first.id
    queue.finish(session, second, now=NOON)
    session.commit()
    assert take(session) is None


def test_jobs_without_a_key_are_all_different(session):
    assert ask(session).id != ask(session).id


def test_a_failed_job_waits_longer_each_time_and_is_given_up_at_last(session):
    job, now, pauses = ask(session, max_attempts=4), NOON, []
    for _ in range(4):
        claim = take(session, now=now)
        queue.fail(session, claim, "Label Studio does not answer", now=now)
        session.commit()
        stands = queue.get(session, job.id)
        pauses.append((stands.not_before - now).total_seconds())
        now = stands.not_before

    assert pauses == [5, 10, 20, 0]
    assert (stands.state, stands.problem, stands.finished_at) == ("failed", "Label Studio does not answer", now)
    assert take(session, now=now + timedelta(days=1)) is None


def test_a_lease_that_ran_out_is_taken_by_another_and_the_late_one_cannot_end_it(session):
    ask(session)
    late = take(session, "a")
    assert take(session, "b", now=NOON + LEASE) is None
    after = NOON + LEASE + timedelta(seconds=1)
    now_holding = take(session, "b", now=after)

    assert now_holding.attempt == 2
    for end in (
        lambda: queue.finish(session, late, now=after),
        lambda: queue.fail(session, late, "too late", now=after),
        lambda: queue.heartbeat(session, late, now=after, lease=LEASE),
        lambda: queue.release(session, late, now=after),
    ):
        with pytest.raises(LeaseLost):
            end()
        session.rollback()
    queue.finish(session, now_holding, now=after)
    session.commit()


def test_a_look_says_whether_there_is_anything_to_take_or_to_give_up(session):
    def is_any(after=timedelta(0), kinds=KINDS, home=None):
        return queue.is_any(session, kinds=kinds, now=NOON + after, home=home)

    assert not is_any()
    queue.enqueue(session, KINDS[0], now=NOON, delay=timedelta(minutes=1), home="there", max_attempts=1)
    assert not is_any(home="there"), "not yet"
    assert not is_any(timedelta(minutes=1)), "another server's"
    assert not is_any(timedelta(minutes=1), ["another kind"], "there")
    assert is_any(timedelta(minutes=1), home="there")
    now = NOON + timedelta(minutes=1)
    assert queue.claim(session, "w", kinds=KINDS, now=now, lease=LEASE, home="there") is not None
    assert not is_any(timedelta(minutes=1), home="there")
    lost = timedelta(minutes=1, seconds=1) + LEASE
    assert is_any(lost), "whoever looks may give it up"
    assert queue.claim(session, "x", kinds=KINDS, now=NOON + lost, lease=LEASE) is None
    assert not is_any(lost)


def test_a_heartbeat_keeps_the_lease(session):
    job = ask(session)
    claim = take(session, "a")
    queue.heartbeat(session, claim, now=NOON + LEASE, lease=LEASE, progress=0.4, message="training")
    session.commit()

    assert take(session, "b", now=NOON + LEASE + timedelta(seconds=5)) is None
    stands = queue.get(session, job.id)
    assert (stands.progress, stands.message) == (0.4, "training")


def test_a_job_that_kills_every_process_is_given_up(session):
    job, now = ask(session, max_attempts=2), NOON
    for worker in ("a", "b"):
        assert take(session, worker, now=now)
        now += LEASE + timedelta(seconds=1)

    assert take(session, "c", now=now) is None
    assert queue.get(session, job.id).state == JobState.FAILED
    assert "died" in queue.get(session, job.id).problem


def test_a_process_that_stops_gives_its_job_back_without_counting_it(session):
    ask(session, max_attempts=1)
    claim = take(session, "a")
    queue.release(session, claim, now=NOON)
    session.commit()

    assert take(session, "b").attempt == 1


def test_a_cancelled_job_is_not_ended_by_its_worker(session):
    job = ask(session)
    claim = take(session)
    queue.cancel(session, job.id, now=NOON)
    session.commit()

    with pytest.raises(LeaseLost):
        queue.heartbeat(session, claim, now=NOON, lease=LEASE)
    session.rollback()
    with pytest.raises(Conflict):
        queue.cancel(session, job.id, now=NOON)
    session.rollback()
    with pytest.raises(NotFound):
        queue.cancel(session, "nothing", now=NOON)


def test_the_effect_and_the_end_of_a_job_are_one_commit(session, sessions):
    ask(session)
    late = take(session, "a")
    take(session, "b", now=NOON + LEASE + timedelta(seconds=1))
    with sessions() as other:
        queue.enqueue(other, "effect", now=NOON)
        with pytest.raises(LeaseLost):
            queue.finish(other, late, now=NOON)

    assert session.exec(select(Job).where(Job.kind == "effect")).all() == []


def test_many_workers_at_once_take_every_job_exactly_once(sessions):
    with sessions() as session:
        for _ in range(40):
            queue.enqueue(session, "push", now=NOON)
        session.commit()
    taken: Counter[str] = Counter()

    def work(name):
        while True:
            with sessions() as mine:
                claim = queue.claim(mine, name, kinds=["push"], now=NOON, lease=LEASE)
                mine.commit()
                if claim is None:
                    return
                taken[claim.id] += 1
                queue.finish(mine, claim, now=NOON)
                mine.commit()

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 40
    assert set(taken.values()) == {1}


def test_many_at_once_ask_with_one_key_and_get_one_job(sessions):
    ids = []

    def asks():
        with sessions() as mine:
            ids.append(queue.enqueue(mine, "sweep", now=NOON, key="sweep").id)
            mine.commit()

    threads = [threading.Thread(target=asks) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ids) == 6
    assert len(set(ids)) == 1


def test_a_runner_retries_what_may_heal_and_gives_up_what_cannot(sessions):
    moment = [NOON]
    tries = Counter()

    def heals(run):
        tries["heals"] += 1
        if tries["heals"] < 3:
            raise ConnectionError("no answer")
        return {"tries": tries["heals"]}

    def cannot(run):
        raise InvalidInput("the mask has the wrong size")

    runner = Runner(sessions, {"heals": Kind(heals), "cannot": Kind(cannot)}, clock=lambda: moment[0])
    with sessions() as session:
        healing, hopeless = (queue.enqueue(session, kind, now=NOON) for kind in ("heals", "cannot"))
        session.commit()
        healing, hopeless = healing.id, hopeless.id
    for _ in range(6):
        while runner.run_one():
            pass
        moment[0] += timedelta(minutes=1)

    with sessions() as session:
        assert queue.get(session, healing).result == {"tries": 3}
        assert queue.get(session, hopeless).state == JobState.FAILED
        assert queue.get(session, hopeless).attempts == 1


def test_a_job_that_is_removed_while_it_runs_does_not_end_its_runner(sessions):
    def removes_itself(run):
        with sessions() as session:
            session.delete(session.get(Job, run.id))
            session.commit()

    runner = Runner(sessions, {"gone": Kind(removes_itself), "next": Kind(lambda run: {})}, clock=lambda: NOON)
    with sessions() as session:
        gone = queue.enqueue(session, "gone", now=NOON - timedelta(seconds=1)).id
        after = queue.enqueue(session, "next", now=NOON).id
        session.commit()
    assert runner.run_one()
    assert runner.run_one()
    with sessions() as session:
        assert session.get(Job, gone) is None
        assert queue.get(session, after).state == JobState.DONE


def test_a_runner_that_stops_gives_the_running_job_back(sessions):
    begun = threading.Event()

    def slow(run):
        begun.set()
        while True:
            run.check()
            time.sleep(0.01)

    runner = Runner(sessions, {"slow": Kind(slow)}, clock=lambda: datetime.now(UTC))
    with sessions() as session:
        job = queue.enqueue(session, "slow", now=datetime.now(UTC)).id
        session.commit()
    runner.start()
    assert begun.wait(120)
    runner.stop()

    with sessions() as session:
        stands = queue.get(session, job)
        assert (stands.state, stands.attempts) == ("waiting", 0)


WORKER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from server.db import Database
from server.jobs import queue
from server.jobs.runner import Kind, Runner

url, folder, role = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
database = Database(url)

def slow(run):
    (folder / f"begun-{role}").write_text(str(run.claim.attempt))
    if role == "first":
        time.sleep(600)  # until it is killed
    with run.sessions() as session:
        queue.enqueue(session, "effect", now=run.clock())
        run.finish(session)
        session.commit()

Runner(database.write, {"slow": Kind(slow)}, clock=lambda: datetime.now(UTC), rest=0.05).start()
time.sleep(600)
"""


def test_when_a_process_is_killed_in_the_middle_another_goes_on_and_the_effect_is_there_once(
    sessions, database_url, tmp_path
):
    with sessions() as session:
        job = queue.enqueue(session, "slow", now=datetime.now(UTC)).id
        session.commit()

    def worker(role):
        root = Path(__file__).parents[2]
        return subprocess.Popen([sys.executable, "-c", WORKER, database_url, str(tmp_path), role], cwd=root)

    first = worker("first")
    second = None
    try:
        wait_for(lambda: (tmp_path / "begun-first").exists())
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = worker("second")

        def done():
            with sessions() as session:
                return queue.get(session, job).state == JobState.DONE

        wait_for(done)
        assert (tmp_path / "begun-second").read_text() == "2"
        with sessions() as session:
            assert len(session.exec(select(Job).where(Job.kind == "effect")).all()) == 1
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
