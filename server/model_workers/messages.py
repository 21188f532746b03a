"""What a server and its model workers say to each other: a pickled body, and arrays as files in memory beside it.

Both ends are our own program. What a camera sent has been unpacked by others (`server.decoding`) before.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qc.frame import Frame
from qc.verdict import Policy
from server.judging import Judgement
from server.shared_memory import array_of, copied, file_of

MOST_FILES = 200
"""Arrays of one message; the kernel passes on 253 descriptors at a time."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array that comes as a file beside the message."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Question:
    """A part to be judged; the pixels of its frames come beside it, in their order."""

    views: tuple[tuple[str, str], ...]
    """View and hash of each frame."""
    pixels: tuple[Array, ...]
    policy: Policy
    station: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a part; which pixel belongs to which defect comes beside it, for frames that have some."""

    judgement: Judgement
    instances: tuple[Array | None, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is none."""

    kind: str
    """Of `qc.errors`."""
    message: str


def send(wire: socket.socket, body: object, fds: Sequence[int] = ()) -> None:
    """Send a message. Raises OSError where nobody takes it."""
    fd = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as out:
            pickle.dump(body, out, protocol=5)
        socket.send_fds(wire, [b"."], [fd, *fds])
    finally:
        os.close(fd)


def receive(wire: socket.socket) -> tuple[Any, list[int]]:
    """The next message and the descriptors of its arrays, which the caller closes.

    Raises:
        EOFError: the other end is gone. TimeoutError, OSError: as the socket says.
    """
    said, fds, _, _ = socket.recv_fds(wire, 1, MOST_FILES + 1)
    if not said or not fds:
        raise EOFError
    with open(fds[0], "rb") as body:
        body.seek(0)
        return pickle.load(body), fds[1:]


def close(fds: Sequence[int]) -> None:
    """Let descriptors go."""
    for fd in fds:
        os.close(fd)


def ask(wire: socket.socket, frames: Sequence[Frame], policy: Policy, station: str) -> int:
    """Send a part; returns how many of its frames had to be copied, as they lay in no file that can be handed on."""
    fds, made = list[int](), list[int]()
    try:
        for frame in frames:
            fd = file_of(frame.pixels)
            if fd is None:
                fd = copied(frame.pixels)
                made.append(fd)
            fds.append(fd)
        arrays = tuple(Array(frame.pixels.shape, frame.pixels.dtype.name) for frame in frames)
        views = tuple((frame.view, frame.sha256) for frame in frames)
        send(wire, Question(views, arrays, policy, station), fds)
    finally:
        close(made)
    return len(made)


def frames_of(question: Question, fds: Sequence[int]) -> list[Frame]:
    """The frames of a part, where they lie."""
    told = zip(question.views, question.pixels, fds, strict=True)
    return [Frame(array_of(fd, a.shape, a.dtype), view, sha256) for (view, sha256), a, fd in told]


def answer(wire: socket.socket, judgement: Judgement) -> None:
    """Send a verdict."""
    bare, arrays, fds = [], list[Array | None](), list[int]()
    try:
        for found in judgement.findings:
            bare.append(replace(found, instances=np.zeros((0, 0), np.uint16)))
            arrays.append(Array(found.instances.shape, found.instances.dtype.name) if found.defects else None)
            if found.defects:
                fds.append(copied(found.instances))
        send(wire, Answer(replace(judgement, findings=tuple(bare)), tuple(arrays)), fds)
    finally:
        close(fds)


def judgement_of(said: Answer, fds: Sequence[int], frames: Sequence[Frame]) -> Judgement:
    """The verdict that came."""
    left, findings = list(fds), []
    for found, array, frame in zip(said.judgement.findings, said.instances, frames, strict=True):
        if array is None:
            instances = np.broadcast_to(np.zeros((), np.uint16), (frame.height, frame.width))
        else:
            instances = array_of(left.pop(0), array.shape, array.dtype)
        findings.append(replace(found, instances=instances))
    return replace(said.judgement, findings=tuple(findings))
