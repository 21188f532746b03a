"""A program that runs beside the server is started again when it dies, and ends with the server."""

import subprocess
import sys
import threading
import time

from server.supervisor import Supervisor


class Sleeper:
    """A real process that does nothing."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        self.process.kill()
        self.process.wait()


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_a_program_that_was_killed_runs_again_and_stops_with_us():
    started, ready = [], []

    def start(stop: threading.Event):
        started.append(Sleeper())
        return started[-1]

    supervisor = Supervisor("sleeper", start, ready=lambda: ready.append(1), first_pause=0.05, look_every=0.05)
    supervisor.begin()
    wait_for(lambda: supervisor.state()["state"] == "ok")
    started[0].process.kill()
    wait_for(lambda: len(started) == 2 and supervisor.state()["state"] == "ok")
    assert len(ready) == 2

    supervisor.stop()
    assert not started[1].alive()


def test_a_program_that_cannot_start_says_why_and_is_tried_again():
    tries = []

    def start(stop: threading.Event):
        tries.append(1)
        if len(tries) < 4:
            raise FileNotFoundError("Label Studio is not installed; run make run")
        return Sleeper()

    supervisor = Supervisor("sleeper", start, first_pause=0.1, look_every=0.05)
    supervisor.begin()
    wait_for(lambda: supervisor.state()["state"] == "failed")
    assert supervisor.state()["message"] == "Label Studio is not installed; run make run"
    wait_for(lambda: supervisor.state()["state"] == "ok")
    assert len(tries) == 4
    supervisor.stop()
