"""The process in which a model looks at parts: `python -m server.model_workers.worker PARENT FD`.

It is told the model's folder, loads and warms it as the server does, says who it is, and judges what comes until the
server is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from qc import errors
from qc.errors import QcError
from server.model_workers.messages import Problem, Question, answer, close, frames_of, receive, send
from server.settings import Settings


def main(arguments: list[str]) -> int:
    """The process's side."""
    from server.jobs.child import die_with_parent

    die_with_parent(int(arguments[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; it ends us by closing the socket
    wire = socket.socket(fileno=int(arguments[1]))
    try:
        (folder, settings), _ = receive(wire)
        serve(wire, Path(folder), Settings(**settings))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # nobody asks any more
        return 0
    return 1


def serve(wire: socket.socket, folder: Path, settings: Settings) -> None:
    """Load the model and judge parts. Raises EOFError when the server is gone; returns where it cannot be loaded."""
    from server.judging import judge
    from server.models_in_use import loader

    try:
        segmenter = loader(settings)(folder)
    except Exception as error:
        send(wire, problem(error))
        return
    send(wire, (segmenter.model_id, str(getattr(segmenter, "runtime", "torch")), os.getpid()))
    while True:
        question, fds = receive(wire)
        assert isinstance(question, Question)
        try:
            frames = frames_of(question, fds)
        finally:
            close(fds)
        try:
            judgement = judge(frames, segmenter, question.policy, station=question.station)
        except Exception as error:  # whatever a model does, the part is set aside by the server
            send(wire, problem(error))
        else:
            answer(wire, judgement)
        del frames  # the memory goes before the next part comes


def problem(error: Exception) -> Problem:
    """An error in words that reach the server."""
    if not isinstance(error, QcError):
        return Problem("QcError", f"{type(error).__name__}: {error}")
    kind = next((c.__name__ for c in type(error).__mro__ if hasattr(errors, c.__name__)), "QcError")
    return Problem(kind, error.message)


if __name__ == "__main__":
    from server.model_workers import worker  # by its name, so that what is sent is what the server knows

    sys.exit(worker.main(sys.argv[1:]))
