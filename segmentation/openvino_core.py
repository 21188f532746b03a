"""OpenVINO's core: one for the whole process, and made where it can do no harm.

Each core's CPU plugin gives the thread that makes it an alternate signal stack of its own, and unmaps that stack when
the core goes. Two cores that go in another order than they came, or one that goes in another thread (the collector's
choice), leave the first thread a stack that is no longer there; the next signal, a child's end or SIGTERM among them,
then kills the process without a word. So whatever makes a core here does it in a thread that ends with it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Made = TypeVar("Made")

_one_at_a_time = threading.Lock()


def core() -> Any:
    """The process's only `openvino.Core`, which stays until the process ends."""
    with _one_at_a_time:
        return _core()


def apart(work: Callable[[], Made]) -> Made:
    """What `work` gives or raises, done in a thread that ends with it: for a library that makes cores of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@functools.cache
def _core() -> Any:
    import openvino

    def make() -> Any:
        found = openvino.Core()
        found.get_property("CPU", "FULL_DEVICE_NAME")  # the plugin comes with the first question to it
        return found

    return apart(make)
