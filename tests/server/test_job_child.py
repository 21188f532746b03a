"""Heavy work in a child process: it reports, it fails with its own words, and it never outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qc.errors import Conflict
from server.jobs import child, queue
from server.jobs.child import ChildDied, run_in_child
from server.jobs.records import JobState
from server.jobs.runner import JobRun, Kind, Runner, Stopping

ROOT = Path(__file__).parents[2]

WORK = """
import os, signal, time
from pathlib import Path
from qc.errors import Conflict

def counts(arguments, report):
    print("a library that prints")
    for n in range(arguments["to"]):
        report((n + 1) / arguments["to"], f"number {n}")
    return {"last": arguments["to"], "nice": os.nice(0)}

def too_few(arguments, report):
    raise Conflict("3 more labelled parts are needed")

def breaks(arguments, report):
    raise RuntimeError("out of luck")

def is_killed(arguments, report):
    os.kill(os.getpid(), signal.SIGKILL)

def sleeps(arguments, report):
    Path(arguments["pid"]).write_text(str(os.getpid()))
    time.sleep(600)

def waits(arguments, report):
    Path(arguments["pid"]).write_text(str(os.getpid()))
    while not Path(arguments["end"]).exists():
        time.sleep(0.02)
    return {"went": "on"}
"""


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    (tmp_path / "work_of_a_child.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")


@pytest.fixture
def run(database):
    """A job that was just taken."""
    now = datetime.now(UTC)
    with database.write() as session:
        queue.enqueue(session, "work", now=now)
        claim = queue.claim(session, "me", kinds=["work"], now=now, lease=timedelta(minutes=1))
        session.commit()
    return JobRun(claim, database.write, lambda: datetime.now(UTC), timedelta(minutes=1), threading.Event())


def state(pid: int) -> str:
    """Of a process, by the kernel: Z for one that ended, T for one that was stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def gone(pid: int) -> bool:
    try:
        return state(pid) == "Z"
    except OSError:
        return True


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_a_child_reports_and_gives_its_result_and_its_prints_go_to_the_log(run, database, tmp_path):
    result = run_in_child(run, "work_of_a_child:counts", {"to": 3}, log=tmp_path / "log")

    assert result == {"last": 3, "nice": min(os.nice(0) + 10, 19)}
    assert "a library that prints" in (tmp_path / "log").read_text()
    with database.read() as session:
        job = queue.get(session, run.id)
        assert (job.progress, job.message) == (1.0, "number 2")


def test_a_childs_error_arrives_as_the_same_kind_with_its_words(run, tmp_path):
    with pytest.raises(Conflict, match="3 more labelled parts are needed"):
        run_in_child(run, "work_of_a_child:too_few", {}, log=tmp_path / "log")


@pytest.mark.parametrize("way", ["breaks", "is_killed"])
def test_a_child_that_dies_without_a_word_is_an_error_that_may_heal(run, tmp_path, way):
    with pytest.raises(ChildDied, match="its last words are in log"):
        run_in_child(run, f"work_of_a_child:{way}", {}, log=tmp_path / "log")


def test_a_child_ends_when_its_job_is_taken_away_or_the_server_stops(database, run, tmp_path):
    stop = threading.Event()
    stopped = JobRun(run.claim, run.sessions, run.clock, run.lease, stop)

    def stop_once_it_works():
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        stop.set()

    stopper = threading.Thread(target=stop_once_it_works)
    stopper.start()
    with pytest.raises(Stopping):
        run_in_child(stopped, "work_of_a_child:sleeps", {"pid": str(tmp_path / "pid")}, log=tmp_path / "log")
    stopper.join()

    assert gone(int((tmp_path / "pid").read_text()))


def test_a_cancelled_job_ends_its_child(database, tmp_path):
    pid = tmp_path / "pid"

    def slow(run):
        return run_in_child(run, "work_of_a_child:sleeps", {"pid": str(pid)}, log=tmp_path / "log")

    with database.write() as session:
        job = queue.enqueue(session, "slow", now=datetime.now(UTC)).id
        session.commit()
    runner = Runner(
        database.write,
        {"slow": Kind(slow)},
        clock=lambda: datetime.now(UTC),
        lease=timedelta(seconds=6),
    )
    runner.start()
    try:
        wait_for(lambda: pid.exists() and pid.read_text())
        with database.write() as session:
            queue.cancel(session, job, now=datetime.now(UTC))
            session.commit()
        wait_for(lambda: gone(int(pid.read_text())))
    finally:
        runner.stop()
    with database.read() as session:
        assert queue.get(session, job).state == JobState.CANCELLED


def test_a_child_that_gives_way_stands_still_and_goes_on_where_it_was(run, tmp_path):
    pid, heard = tmp_path / "pid", []
    free = threading.Event()

    def busy() -> bool:
        return pid.exists() and pid.read_text() != "" and not free.is_set()

    def work():
        arguments = {"pid": str(pid), "end": str(tmp_path / "end")}
        heard.append(run_in_child(run, "work_of_a_child:waits", arguments, log=tmp_path / "log", busy=busy))

    working = threading.Thread(target=work)
    working.start()
    wait_for(lambda: busy() and state(int(pid.read_text())) == "T")
    (tmp_path / "end").touch()
    assert heard == []
    free.set()
    working.join()
    assert heard == [{"went": "on"}]


def test_it_stands_still_for_so_long_and_no_longer(run, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "STAND_STILL_S", 0.1)
    result = run_in_child(run, "work_of_a_child:counts", {"to": 3}, log=tmp_path / "log", busy=lambda: True)
    assert result["last"] == 3


PARENT = """
import sys
from datetime import UTC, datetime, timedelta
import threading
from pathlib import Path
from server.db import Database
from server.jobs.child import run_in_child
from server.jobs.queue import Claim
from server.jobs.runner import JobRun

run = JobRun(Claim("1", "work", {}, 1, "me"), None, None, timedelta(minutes=1), threading.Event())
run_in_child(run, "work_of_a_child:sleeps", {"pid": sys.argv[1]}, log=Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is asked for on Linux only")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path):
    pid = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(pid), str(tmp_path / "log")], cwd=ROOT)
    try:
        wait_for(pid.exists)
        wait_for(lambda: pid.read_text() != "")
        os.kill(parent.pid, signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()

    wait_for(lambda: gone(int(pid.read_text())))
