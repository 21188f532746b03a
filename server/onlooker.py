"""A challenger in a process of its own, on one thread, of low priority, and still while the line needs the machine.

In the server's process its thread would now and then hold the interpreter's lock, and wherever it ran beside a part of
the line it took of the memory's bandwidth. So it is stopped (SIGSTOP) within `LOOK_S` of a part's arrival, in the
middle of whatever it computes, and goes on (SIGCONT) when the line is idle. It dies with the server::

    python -m server.onlooker PARENT FD FOLDER DEVICE
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from qc import errors
from qc.errors import QcError
from qc.verdict import Policy, Verdict

LOOK_S = 0.004
"""How often it is looked whether the line needs the machine, while the challenger computes."""
IDLE_S = 0.02
"""The same, while it stands still."""
NICENESS = 10
"""Its priority below the server's: that of a training. For the line it stands still anyway."""
PATIENCE_S = 600.0
"""Longest time for one part, or for loading, not counting when it stood still; then something is wrong with it."""


class Stopped(Exception):
    """The server stops; nothing came of it."""


class Gone(QcError):
    """The challenger's process ended, or gives no answer: killed, out of memory, or a crash."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a part, as the camera sent it."""

    data: bytes
    view: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What it says of a part."""

    verdict: Verdict
    score: float
    """In [0, 1]."""
    defects: int
    """How many count."""
    cpu_s: float
    """Processor time, unpacking of the pictures included."""


@dataclass(frozen=True, slots=True)
class GivesWay:
    """When to stand still."""

    busy: Callable[[], bool]
    """Does the line need the machine now?"""
    stopped: threading.Event
    """The server stops."""

    def wait(self) -> None:
        """Until the line is idle; raises Stopped."""
        while self.busy():
            if self.stopped.wait(IDLE_S):
                raise Stopped


class Eyes(Protocol):
    """A challenger at work."""

    @property
    def model_id(self) -> str: ...

    def look(self, pictures: Sequence[Picture], policy: Policy, *, station: str) -> Opinion:
        """Judge a part as the line would; raises Stopped, Gone, and what judging raises."""
        ...

    def end(self) -> None:
        """At once, whatever it does."""
        ...


class Onlooker:
    """A model folder at work in a process of its own. For one thread; `Eyes`."""

    def __init__(self, folder: Path, *, device: str, way: GivesWay, log: Path) -> None:
        """Begins it and waits until the model is loaded.

        Args:
            log: file to which what it prints is appended.

        Raises:
            QcError: the model cannot be loaded. Gone, Stopped: as `look`.
        """
        self._way = way
        ours, theirs = socket.socketpair()
        log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, log.open("ab") as out:
            command = [sys.executable, "-m", "server.onlooker", str(os.getpid()), str(theirs.fileno()), str(folder)]
            self.process = subprocess.Popen(
                [*command, device], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._wire: Connection[Any, Any] = Connection(ours.detach())
        try:
            self.model_id = str(self._answer())
        except BaseException:
            self.end()
            raise

    def look(self, pictures: Sequence[Picture], policy: Policy, *, station: str) -> Opinion:
        """As `Eyes` says."""
        self._way.wait()
        try:
            self._wire.send((list(pictures), policy, station))
        except OSError as error:
            raise self._gone() from error
        found: Opinion = self._answer()
        return found

    def end(self) -> None:
        """As `Eyes` says."""
        self._wire.close()
        self.process.kill()
        self.process.wait()

    def _answer(self) -> Any:
        """What it says next; meanwhile it stands still whenever the line needs the machine."""
        left = PATIENCE_S
        try:
            while not self._wire.poll(LOOK_S):
                left -= LOOK_S
                if left <= 0:
                    raise Gone("the challenger gives no answer; it is loaded again")
                if self._way.stopped.is_set():
                    raise Stopped
                if self._way.busy():
                    self._stand_still()
            answer = self._wire.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(answer, _Problem):
            raise getattr(errors, answer.kind, QcError)(answer.message)
        return answer

    def _stand_still(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        try:
            self._way.wait()
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _gone(self) -> Gone:
        self.process.kill()
        code = self.process.wait()
        return Gone(f"the challenger's process ended with code {code}; it is loaded again")


@dataclass(frozen=True, slots=True)
class _Problem:
    """What went wrong there."""

    kind: str
    """Of `qc.errors`."""
    message: str


def main(arguments: list[str]) -> int:
    """The process's side."""
    from server.jobs.child import die_with_parent

    parent, wire, folder, device = int(arguments[0]), int(arguments[1]), Path(arguments[2]), arguments[3]
    die_with_parent(parent)
    os.nice(NICENESS)
    there: Connection[Any, Any] = Connection(wire)
    with there:
        try:
            from segmentation.model import load_segmenter

            segmenter = load_segmenter(folder, device=device, threads=1)
            there.send(segmenter.model_id)
            while True:
                there.send(_opinion(segmenter, *there.recv()))
        except QcError as error:
            there.send(_problem(error))
            return 1
        except (EOFError, BrokenPipeError):  # nobody asks any more
            return 0


def _opinion(segmenter: Any, pictures: list[Picture], policy: Policy, station: str) -> Opinion | _Problem:
    from qc.frame import Frame, decode
    from server.judging import judge

    began = time.process_time()
    try:
        # in this process, as the limited ones are the line's; there they were unpacked when they came
        frames = [Frame(decode(one.data), one.view, one.sha256) for one in pictures]
        said = judge(frames, segmenter, policy, station=station)
    except QcError as error:
        return _problem(error)
    count = sum(defect.counts for found in said.findings for defect in found.defects)
    return Opinion(said.verdict, said.score, count, time.process_time() - began)


def _problem(error: QcError) -> _Problem:
    kind = next((c.__name__ for c in type(error).__mro__ if hasattr(errors, c.__name__)), "QcError")
    return _Problem(kind, error.message)


if __name__ == "__main__":
    from server import onlooker  # by its name, so that what is sent is what the server knows

    sys.exit(onlooker.main(sys.argv[1:]))
