"""Memory that pictures left behind goes back to the system.

The C library keeps what was freed, in as many heaps as there are threads, and windows of ever other sizes leave it in
pieces that fit nobody: a server that looked at 240 frames of 12 Mpx held a gigabyte more than after the first ten.
Giving it back takes some 10 ms.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 60.0


@contextmanager
def given_back(every_s: float = EVERY_S) -> Iterator[None]:
    """Every so many seconds, for the life of a server's process; with a C library that has no word for it, never."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is None:
        yield
        return
    over = threading.Event()

    def run() -> None:
        while not over.wait(every_s):
            trim(0)

    thread = threading.Thread(target=run, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
