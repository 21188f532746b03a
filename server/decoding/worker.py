"""The process that unpacks pictures: `python -m server.decoding.worker SOCKET`. `server.decoding.pool` starts it.

It gets a picture's bytes as a file in memory, and answers with its pixels in another one, sealed so that nobody can
change or shorten it afterwards; or with the sentence of a refusal. Each picture has a limit of memory and of processor
time that fits the size in its header.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from qc import frame
from qc.errors import InvalidInput
from server.decoding import syscalls

SPARE_BYTES = 64_000_000
"""What libraries may take beside the picture."""
COPIES = 4
"""Of the packed bytes: as they came, and what the libraries read from."""
BYTES_A_PIXEL = 24
"""Of three channels of 16 bit as decoded, without alpha, and as handed over; a progressive JPEG keeps 6 besides."""
HANDED_OVER = 6
"""Bytes a pixel that a file in memory may have: three channels of 16 bit."""
CPU_S, CPU_S_A_MPX = 10.0, 0.3
"""Processor time that a picture may take, and what each 10^6 pixels add: thirty times what a PNG takes."""
MESSAGE_BYTES = 65_536
"""The longest message on the socket."""
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def in_memory(pixels: frame.Pixels) -> int:
    """A file in memory that holds the pixels, sealed; the caller closes its descriptor."""
    fd = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest, place = pixels.reshape(-1).view(np.uint8).data, 0
        while place < len(rest):  # written, not mapped: pages of a file cost more to map than to fill
            place += os.pwrite(fd, rest[place:], place)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Limits:
    """How much memory and processor time this process may take; lifted and lowered for each picture."""

    def __init__(self) -> None:
        self._base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        self._most = self._bytes(frame.MAX_BYTES, frame.MAX_PIXELS)
        resource.setrlimit(resource.RLIMIT_AS, (self._most, self._most))

    def _bytes(self, packed: int, pixels: int) -> int:
        return self._base + SPARE_BYTES + COPIES * packed + BYTES_A_PIXEL * pixels

    def set(self, packed: int, pixels: int = 0) -> None:
        """For a picture of so many bytes and pixels."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (HANDED_OVER * pixels, HANDED_OVER * frame.MAX_PIXELS))
        resource.setrlimit(resource.RLIMIT_AS, (self._bytes(packed, pixels), self._most))
        seconds = math.ceil(time.process_time() + CPU_S + CPU_S_A_MPX * pixels / 1e6)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def unpack(limits: Limits, data: bytes, name: str) -> tuple[dict[str, Any], int | None]:
    """The answer to one picture, and the file in memory that holds its pixels; None where the answer is a refusal."""
    try:
        limits.set(len(data))
        width, height = frame.picture_size(data, name=name)
        limits.set(len(data), width * height)
        pixels = frame.decode(data, name=name)
        return {"shape": pixels.shape, "dtype": pixels.dtype.name}, in_memory(pixels)
    except InvalidInput as error:
        return {"invalid": error.message[:2000]}, None
    except MemoryError:
        return {"invalid": "the picture wants more memory than its size in pixels explains; it is not unpacked"}, None


def serve(wire: socket.socket, limits: Limits) -> None:
    """Unpack what comes, one picture after another, until the server is gone."""
    while True:
        message, fds, _, _ = socket.recv_fds(wire, MESSAGE_BYTES, 1)
        if not message:
            return
        asked = json.loads(message)
        limits.set(asked["bytes"])
        data = _read(fds[0], asked["bytes"])
        os.close(fds[0])
        answer, fd = unpack(limits, data, asked["name"])
        del data
        socket.send_fds(wire, [json.dumps(answer).encode()], [] if fd is None else [fd])
        if fd is not None:
            os.close(fd)


def _read(fd: int, size: int) -> bytes:
    parts, place = [], 0
    while place < size:
        part = os.pread(fd, size - place, place)
        if not part:
            raise EOFError(f"{place} of {size} bytes are there")
        parts.append(part)
        place += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def warm() -> None:
    """Unpack one picture of each kind, whole and spoilt: what is loaded late must be there before files are closed."""
    colour = np.zeros((16, 16, 3), np.uint8)
    made = [bytes(cv2.imencode(ending, colour)[1]) for ending in (".jpg", ".png", ".bmp")]
    for pixels in (colour, colour.astype(np.uint16), colour.astype(np.float32), colour[..., 0] > 0):
        for options in ({}, {"compression": "zlib"}):
            file = io.BytesIO()
            tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
            made.append(file.getvalue())
    packed = io.BytesIO()
    Image.fromarray(colour).save(packed, "TIFF", compression="packbits")
    made.append(packed.getvalue())
    for data in made:
        for spoilt in (data, data[: len(data) // 2], data[:60], data[:20] + b"\xff" * 9 + data[29:]):
            with contextlib.suppress(InvalidInput):
                frame.decode(spoilt)


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; it ends us by closing the socket
    cv2.setNumThreads(0)
    warm()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture lands in a core file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # up to here the server's own: why a start fails must be read somewhere
    os.close(nowhere)
    wire = socket.socket(fileno=int(sys.argv[1]))
    limits = Limits()
    socket.send_fds(wire, [json.dumps({"system calls limited": syscalls.limit()}).encode()], [])
    serve(wire, limits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
