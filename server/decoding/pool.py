"""The processes that unpack pictures, from the server's side: `Decoders.decode`.

A picture that makes its process die is refused, as one that is no picture. A process that dies for the machine's sake
(somebody killed it, it got no processor time) costs its picture a second attempt in another one. Either is replaced.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import structlog

from qc.errors import InvalidInput, Unavailable
from qc.frame import MAX_PIXELS, Pixels
from server.shared_memory import mapped

log = structlog.get_logger(__name__)

MESSAGE_BYTES = 65_536
START_S = 60.0
"""A process is warm after half a second; on a crowded machine later."""
ANSWER_S = 180.0
"""Its processor time is limited far below this; who takes longer is not given any."""
PLACE_S = 30.0
"""How long a picture waits for a process that is free."""
AGAIN_S = 1.0
"""Between two attempts to replace one that died."""
OF_THE_PICTURE = {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGXCPU,
    signal.SIGSYS,
}  # fmt: skip
"""How a decoder dies of what it decodes; of anything else (SIGKILL, SIGTERM) somebody killed it."""
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE
"""Without these a decoder that was taken over could change pixels later, or take the memory away under the reader."""


class Died(Exception):
    """A decoder gave no answer. `of_picture`: the picture is the reason."""

    def __init__(self, why: str, *, of_picture: bool) -> None:
        super().__init__(why)
        self.of_picture = of_picture


class Worker:
    """One process; warm when made. For one thread at a time."""

    def __init__(self) -> None:
        """Raises Died where it does not become warm."""
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "server.decoding.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self.limited = bool(self._answer(START_S)[0].get("system calls limited"))

    def decode(self, data: bytes, name: str, *, keep: bool = False) -> Pixels:
        """Raises InvalidInput with the refusal's words; Died."""
        with open(os.memfd_create("picture", os.MFD_CLOEXEC), "wb", buffering=0) as packed:
            rest = memoryview(data)
            while rest:
                rest = rest[packed.write(rest) :]
            try:
                socket.send_fds(
                    self._wire, [json.dumps({"bytes": len(data), "name": name[-500:]}).encode()], [packed.fileno()]
                )
            except OSError as error:
                raise Died(f"it takes no picture ({error.strerror})", of_picture=False) from error
        answer, fds = self._answer(ANSWER_S)
        try:
            if isinstance(words := answer.get("invalid"), str):
                raise InvalidInput(words)
            return _pixels(answer, fds, keep=keep)
        finally:
            for fd in fds:
                os.close(fd)

    def end(self) -> None:
        """At once, whatever it does."""
        self._wire.close()
        self.process.kill()
        self.process.wait()

    def _answer(self, seconds: float) -> tuple[dict[str, Any], list[int]]:
        self._wire.settimeout(seconds)
        try:
            message, fds, _, _ = socket.recv_fds(self._wire, MESSAGE_BYTES, 1)
        except TimeoutError as error:
            raise Died(f"there is no answer after {seconds:g} s", of_picture=False) from error
        except ConnectionResetError:  # it died with the picture unread
            message, fds = b"", []
        if not message:
            raise self._died()
        try:
            answer = json.loads(message)
        except ValueError as error:
            raise Died("its answer makes no sense", of_picture=True) from error
        return (answer if isinstance(answer, dict) else {}), fds

    def _died(self) -> Died:
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return Died("it hung up", of_picture=False)
        by = signal.Signals(-code) if code < 0 else None
        return Died(f"by {by.name}" if by else f"with exit code {code}", of_picture=by in OF_THE_PICTURE)


class Decoders:
    """Some processes that unpack pictures; for any thread. A `server.context.Part`."""

    def __init__(self, count: int, *, keep_files: bool = False) -> None:
        """
        Args:
            keep_files: pictures are handed on to other processes (`server.shared_memory.file_of`).
        """
        self._count, self._keep_files = count, keep_files
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._alive: set[Worker] = set()
        self._lock = threading.Lock()
        self._missing = threading.Event()
        self._missing.set()
        self._stop = threading.Event()
        self._warm = False
        self._died = 0
        self._problem = ""
        self._keeper = threading.Thread(target=self._keep, name="decoders", daemon=True)
        self._keeper.start()

    def decode(self, data: bytes, *, name: str = "") -> Pixels:
        """The pixels of a picture, as `qc.frame.decode` gives them; they are this process's own.

        Raises:
            InvalidInput: as `qc.frame.decode`; besides, a picture of which its process died.
            Unavailable: no process is free in time, or two in a row died for other reasons.
        """
        for _ in range(2):
            worker = self._free()
            try:
                pixels = worker.decode(data, name, keep=self._keep_files)
            except InvalidInput:
                self._idle.put(worker)
                raise
            except BaseException as error:
                self._lost(worker, str(error))
                if not isinstance(error, Died):
                    raise
                if error.of_picture:
                    raise InvalidInput(f"the picture cannot be unpacked; what tried to died {error}") from error
            else:
                self._idle.put(worker)
                return pixels
        raise Unavailable("the picture could not be unpacked: its process died twice; send it again", retry_after_s=1)

    def state(self) -> dict[str, Any]:
        """For /health."""
        with self._lock:
            alive = list(self._alive)
        shown = {"workers": len(alive), "died": self._died}
        if not alive and not self._warm:
            return {"state": "starting", "message": self._problem, **shown}
        if len(alive) < self._count and self._warm:
            return {"state": "degraded", "message": self._problem, **shown}
        if not all(worker.limited for worker in alive):
            why = "this machine cannot limit system calls: what unpacks pictures may open files and connections"
            return {"state": "degraded", "message": why, **shown}
        return {"state": "ok", **shown}

    def stop(self) -> None:
        """End them all."""
        self._stop.set()
        self._missing.set()
        self._keeper.join()
        with self._lock:
            alive, self._alive = self._alive, set()
        for worker in alive:
            worker.end()

    def _free(self) -> Worker:
        try:
            return self._idle.get(timeout=PLACE_S)
        except queue.Empty:
            raise Unavailable("no process to unpack pictures is free; send it again", retry_after_s=1) from None

    def _lost(self, worker: Worker, why: str) -> None:
        log.warning("a decoder died and is replaced", why=why)
        with self._lock:
            self._alive.discard(worker)
            self._died, self._problem = self._died + 1, f"one died {why}"
        worker.end()
        self._missing.set()

    def _keep(self) -> None:
        while True:
            self._missing.wait()
            if self._stop.is_set():
                return
            self._missing.clear()
            while not self._stop.is_set() and len(self._alive) < self._count:
                try:
                    worker = Worker()
                except (Died, OSError) as error:
                    self._problem = f"none can be started: {error}"
                    log.error("a decoder cannot be started", problem=str(error))
                    self._stop.wait(AGAIN_S)
                    continue
                with self._lock:
                    self._alive.add(worker)
                self._idle.put(worker)
            self._warm = True


class Lent:
    """Decoders that several servers share, and somebody else ends. A `server.context.Part`."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders

    def state(self) -> dict[str, Any]:
        return self._decoders.state()

    def stop(self) -> None:
        """They go on."""


def _pixels(answer: dict[str, Any], fds: list[int], *, keep: bool = False) -> Pixels:
    """What is in the memory that came; nothing of the answer is believed. Raises Died."""
    shape, dtype = answer.get("shape"), answer.get("dtype")
    if (
        isinstance(shape, list)
        and all(type(side) is int and side > 0 for side in shape)
        and len(fds) == 1
        and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
        and shape[0] * shape[1] <= MAX_PIXELS
        and dtype in ("uint8", "uint16")
    ):
        with suppress(OSError):  # of what is no memory of this kind
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) & SEALS == SEALS and os.fstat(fds[0]).st_size == size:
                return np.frombuffer(mapped(fds[0], size, keep=keep), dtype).reshape(shape)
    raise Died("its answer makes no sense", of_picture=True)


def _environment() -> dict[str, str]:
    """Nothing of ours, which may hold secrets; libraries keep to one thread and one heap, as limits demand."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",  # one heap, which keeps the memory of a picture for the next one
        "MALLOC_TRIM_THRESHOLD_": "100000000",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OPENCV_LOG_LEVEL": "OFF",
        "TIFFFILE_NUM_THREADS": "1",
    }
