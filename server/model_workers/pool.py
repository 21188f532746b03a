"""The champion in processes of its own, from the server's side: `Workers.judge`.

A part is handed to a process that is free. Where that one dies, the part goes to the next one; where that dies too, it
has no verdict, and a person looks. Whoever dies is replaced.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from qc import errors
from qc.errors import QcError, Unavailable
from qc.frame import Frame
from qc.ports import Segmenter
from qc.verdict import Policy
from server.judging import Judgement
from server.model_workers.messages import MOST_FILES, Answer, Problem, ask, close, judgement_of, receive, send
from server.settings import Settings

log = structlog.get_logger(__name__)

ATTEMPTS = 2
"""Processes that may die of one part."""
START_S = 300.0
"""A model is loaded and warm after seconds; on a crowded machine later."""
ANSWER_S = 600.0
"""For one part. The line's own limit is its decide-by time; who takes longer than this never comes back."""
PLACE_S = 60.0
"""How long a part waits for a process that is free, such as one that is being replaced."""
LOOK_S = 0.2
"""How often who waits for a process looks whether another model serves by now."""
AGAIN_S = 1.0
"""Between two attempts to replace one that died."""
FILES = 8192
"""Descriptors that the server asks for, as every decoded picture holds one until its part is judged."""


class Died(QcError):
    """A process gave no answer: killed, out of memory, or a crash."""


class Worker:
    """One process. For one thread at a time."""

    def __init__(self, folder: Path, settings: Settings, log_file: Path) -> None:
        """Begins it; it dies with the thread that does."""
        self.model_id = self.runtime = ""
        self._folder, self._settings = folder, settings
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with theirs, log_file.open("ab") as out:
            command = [sys.executable, "-m", "server.model_workers.worker", str(os.getpid()), str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def warm(self) -> None:
        """Wait until its model is loaded and has looked once.

        Raises:
            Died: it does not become warm. QcError: the model cannot be loaded. It is ended then.
        """
        try:
            told = {"home", "device", "runtimes", "torch_threads", "model_workers", "features"}
            wanted = self._settings.model_dump(include=told)
            send(self._wire, (str(self._folder), wanted))
            said, fds = self._answer(START_S)
            close(fds)
        except OSError as error:
            self.end()
            raise Died(f"it takes no model ({error.strerror})") from error
        except BaseException:
            self.end()
            raise
        self.model_id, self.runtime = str(said[0]), str(said[1])

    def judge(self, frames: Sequence[Frame], policy: Policy, station: str) -> tuple[Judgement, int]:
        """The verdict, and how many frames had to be copied. Raises Died, and what judging raises."""
        try:
            copies = ask(self._wire, frames, policy, station)
        except OSError as error:
            raise Died(f"it takes no part ({error.strerror})") from error
        said, fds = self._answer(ANSWER_S)
        try:
            assert isinstance(said, Answer)
            return judgement_of(said, fds, frames), copies
        finally:
            close(fds)

    def end(self) -> None:
        """At once. For the thread that it answers; from others `process.kill` makes it give up its part."""
        self.process.kill()
        self.process.wait()
        self._wire.close()

    def _answer(self, seconds: float) -> tuple[Any, list[int]]:
        self._wire.settimeout(seconds)
        try:
            said, fds = receive(self._wire)
        except TimeoutError as error:
            raise Died(f"there is no answer after {seconds:g} s") from error
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(said, Problem):
            raise getattr(errors, said.kind, QcError)(said.message)
        return said, fds

    def _died(self) -> Died:
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(5)
            return Died(f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}")
        return Died("it hung up")


class Crew:
    """The processes of one model; for any thread."""

    def __init__(self, folder: Path, settings: Settings, count: int) -> None:
        """Returns when the first of them is warm; raises what `Worker` raises."""
        self._folder, self._settings, self._count = folder, settings, count
        self._log = settings.folder("logs") / "model-workers.log"
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._alive: set[Worker] = set()
        self._at_work: set[Worker] = set()
        self._lock = threading.Lock()
        self._missing, self._over = threading.Event(), threading.Event()
        self.died, self.copies, self.parts, self.problem = 0, 0, 0, ""
        self._starting: Worker | None = None
        first = Worker(folder, settings, self._log)
        first.warm()
        self.model_id, self.runtime = first.model_id, first.runtime
        self._take_on(first)
        self._missing.set()
        self._keeper = threading.Thread(target=self._keep, name="model-workers", daemon=True)
        self._keeper.start()

    def judge(self, frames: Sequence[Frame], policy: Policy, station: str) -> Judgement | None:
        """The verdict of a part, by whichever process is free; None: another model serves by now, and none was asked.

        Raises:
            Unavailable: none is free in time, or as many as `ATTEMPTS` died. And what judging raises.
        """
        for attempt in range(ATTEMPTS):
            worker = self._free()
            if worker is None and not attempt:
                return None
            if worker is None:
                break
            try:
                judgement, copies = worker.judge(frames, policy, station)
            except Died as error:
                self._lost(worker, error.message)
                continue
            except QcError:
                self._back(worker)
                raise
            except BaseException as error:
                self._lost(worker, str(error))
                raise
            self._back(worker)
            with self._lock:
                self.copies, self.parts = self.copies + copies, self.parts + 1
            return judgement
        raise Unavailable("the processes that looked at this part died; a person should look at it")

    @property
    def pids(self) -> list[int]:
        """The processes that are there."""
        with self._lock:
            return sorted(worker.process.pid for worker in self._alive)

    @property
    def at_work(self) -> list[int]:
        """Those that have a part."""
        with self._lock:
            return sorted(worker.process.pid for worker in self._at_work)

    @property
    def missing(self) -> int:
        """How many are to be replaced."""
        return self._count - len(self._alive)

    def end(self) -> None:
        """No part is handed to them any more; whoever has one finishes it first."""
        with self._lock:
            self._over.set()
        self._missing.set()
        with suppress(queue.Empty):
            while True:
                self._dismiss(self._idle.get_nowait())

    def kill(self) -> None:
        """End them at once, whatever they do."""
        self.end()
        with self._lock:
            left = {*self._alive, *([self._starting] if self._starting is not None else [])}
        for worker in left:
            worker.process.kill()
        self._keeper.join()

    def _free(self) -> Worker | None:
        """None: another model serves by now."""
        until = time.monotonic() + PLACE_S
        while not self._over.is_set():
            try:
                worker = self._idle.get(timeout=LOOK_S)
            except queue.Empty:
                if time.monotonic() < until:
                    continue
                raise Unavailable(
                    "no process in which the model looks is free; send it again", retry_after_s=1
                ) from None
            if worker.process.poll() is not None:  # killed while it had nothing to do: no part is to blame
                self._lost(worker, f"with exit code {worker.process.returncode}, without a part")
                continue
            with self._lock:
                self._at_work.add(worker)
            return worker
        return None

    def _back(self, worker: Worker) -> None:
        with self._lock:
            self._at_work.discard(worker)
            if not self._over.is_set():
                self._idle.put(worker)
                return
        self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)
            self._at_work.discard(worker)
        self._missing.set()

    def _lost(self, worker: Worker, why: str) -> None:
        log.warning("a model's process died and is replaced", why=why)
        self._dismiss(worker)
        with self._lock:
            self.died, self.problem = self.died + 1, f"one died {why}"
        self._missing.set()

    def _take_on(self, worker: Worker) -> None:
        with self._lock:
            self._alive.add(worker)
        self._back(worker)

    def _keep(self) -> None:
        """Replaces who died; stays until the last is gone, as they die with the thread that began them."""
        while not (self._over.is_set() and not self._alive):
            self._missing.wait()
            self._missing.clear()
            while not self._over.is_set() and self.missing > 0:
                try:
                    worker = self._starting = Worker(self._folder, self._settings, self._log)
                    worker.warm()
                except Exception as error:  # tried again until the server stops or another model serves
                    if not self._over.is_set():
                        self.problem = f"none can be started: {error}"
                        log.error("a model's process cannot be started", problem=str(error))
                    self._over.wait(AGAIN_S)
                    continue
                finally:
                    self._starting = None
                self._take_on(worker)


class Workers:
    """The champion's processes. A `server.context.Part`."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings, self._count = settings, count
        self._crew: Crew | None = None
        self._problem = ""
        self._stopped = False
        self._lock = threading.Lock()
        _more_files()

    def prepare(self, segmenter: Segmenter, folder: Path) -> None:
        """Another model is about to serve: its processes are warm when this returns. Where they cannot be, the server
        itself computes it, and says so."""
        try:
            crew = Crew(folder, self._settings, self._count)
        except Exception as error:
            self._problem = f"the server itself computes the model: {error}"
            log.error("the model's processes cannot be started", problem=str(error))
            crew = None
        else:
            self._problem = ""
        with self._lock:
            before, self._crew = self._crew, crew
            stopped = self._stopped
        if before is not None:
            before.end()
        if stopped and crew is not None:
            crew.kill()

    def judge(self, frames: Sequence[Frame], segmenter: Segmenter, policy: Policy, *, station: str) -> Judgement | None:
        """As `server.judging.judge`, elsewhere. None: this model is not computed here. Raises as `Crew.judge`."""
        crew = self._crew
        if crew is None or len(frames) > MOST_FILES:
            return None
        if (crew.model_id, crew.runtime) != (segmenter.model_id, getattr(segmenter, "runtime", "torch")):
            return None
        return crew.judge(frames, policy, station)

    @property
    def pids(self) -> list[int]:
        """The processes that are there."""
        return self._crew.pids if self._crew is not None else []

    @property
    def at_work(self) -> list[int]:
        """Those that have a part."""
        return self._crew.at_work if self._crew is not None else []

    def state(self) -> dict[str, Any]:
        """For /health."""
        crew = self._crew
        if crew is None:
            return {"state": "degraded" if self._problem else "starting", "message": self._problem or "loading"}
        shown = {"workers": len(crew.pids), "died": crew.died, "parts": crew.parts, "copies": crew.copies}
        if crew.died and crew.missing:
            return {"state": "degraded", "message": crew.problem, **shown}
        return {"state": "ok", **shown}

    def stop(self) -> None:
        """End them all."""
        with self._lock:
            self._stopped, crew = True, self._crew
        if crew is not None:
            crew.kill()


def _more_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
