"""Heavy work in a process of its own, so that inspecting stays fluent; it dies with the process that began it.

The child is given a function by name (`package.module:function`) and its arguments as JSON. It says how far it is in
lines of JSON on its standard output, and its last line holds the result or the problem::

    python -m server.jobs.child PARENT package.module:function '{"dataset": "…"}'
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qc import errors
from qc.errors import InvalidInput, QcError
from server.jobs.runner import JobRun

Report = Callable[[float | None, str], None]
"""Takes the share done (0..1, or None where unknown) and what is being done."""

REPORT_EVERY_S = 1.0
"""Reports on one stage (the words before a colon) that come faster are dropped: each is a write to the database."""

NICENESS = 10
"""Below the server's own priority: an inspection that arrives during a training goes first."""

CHECK_S = 0.2
"""How often it is looked whether the job goes on."""
LOOK_S = 0.004
"""How often it is looked whether a child that gives way shall stand still."""
IDLE_S = 0.02
"""The same, while it stands still."""
STAND_STILL_S = 600.0
"""So long in all; then it goes on, whatever else needs the machine."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


class ChildDied(QcError):
    """The child ended without saying why: killed, or out of memory."""


def run_in_child(
    run: JobRun, function: str, arguments: dict[str, Any], *, log: Path, busy: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """Call `function(arguments, report)` in a child process and pass its reports on to the job.

    The child is killed when this job is lost or cancelled, when the server stops, and by the kernel when it is killed.

    Args:
        log: file to which what the child prints on standard error is appended.
        busy: the child stands still (SIGSTOP) while this is true, for `STAND_STILL_S` at most; for work of seconds.

    Raises:
        QcError: of the same kind as the function raised; `ChildDied` when it said nothing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "server.jobs.child", str(os.getpid()), function, json.dumps(arguments)]
    with log.open("ab") as errors_to:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors_to, text=True)
        try:
            return _listen(run, child, function, log, busy)
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _listen(
    run: JobRun, child: subprocess.Popen[str], function: str, log: Path, busy: Callable[[], bool] | None
) -> dict[str, Any]:
    assert child.stdout is not None
    ended = threading.Event()

    def watch() -> None:  # reading blocks; this ends the child, and with it the reading
        left_s = 0.0 if busy is None else STAND_STILL_S
        while not ended.wait(LOOK_S if left_s > 0 else CHECK_S):
            try:
                run.check()
                if busy is not None and left_s > 0 and busy():
                    left_s -= _stand_still(run, child, busy, ended, left_s)
            except Exception:
                child.kill()
                return

    watcher = threading.Thread(target=watch, name="child-watch", daemon=True)
    watcher.start()
    last: dict[str, Any] = {}
    try:
        for line in child.stdout:
            last = json.loads(line)
            if "message" in last:
                run.report(last["progress"], last["message"])
    finally:
        ended.set()
        watcher.join()
    run.check()
    child.wait()
    if "result" in last:
        return dict(last["result"])
    if "problem" in last:
        kind = getattr(errors, last["kind"], QcError)
        raise kind(last["problem"])
    raise ChildDied(f"{function} ended with code {child.returncode} and said nothing; its last words are in {log.name}")


def _stand_still(
    run: JobRun, child: subprocess.Popen[str], busy: Callable[[], bool], ended: threading.Event, most_s: float
) -> float:
    """Stop the child until it may go on; how many seconds that took."""
    began = time.monotonic()
    child.send_signal(signal.SIGSTOP)
    try:
        while busy() and time.monotonic() - began < most_s and not ended.wait(IDLE_S):
            run.check()
    finally:
        child.send_signal(signal.SIGCONT)
    return time.monotonic() - began


def main(arguments: list[str]) -> int:
    """The child's side."""
    parent, function, given = int(arguments[0]), arguments[1], json.loads(arguments[2])
    die_with_parent(parent)
    os.nice(NICENESS)
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to the log, not among our lines

    last, doing = -math.inf, ""

    def report(progress: float | None, message: str) -> None:
        nonlocal last, doing
        stage = message.partition(":")[0]
        if stage == doing and time.monotonic() - last < REPORT_EVERY_S and progress is not None and progress < 1.0:
            return
        last, doing = time.monotonic(), stage
        say.write(json.dumps({"progress": progress, "message": message}) + "\n")

    module, _, name = function.partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(given, report)
    except QcError as error:
        kind = next((c.__name__ for c in type(error).__mro__ if hasattr(errors, c.__name__)), "QcError")
        say.write(json.dumps({"problem": error.message, "kind": kind}) + "\n")
        return 1
    say.write(json.dumps({"result": result}) + "\n")
    return 0


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the one that began it dies, even by SIGKILL."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise InvalidInput(f"prctl failed with error {ctypes.get_errno()}")
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
