"""What stops every thread of the server at once is kept short: the collector of garbage, and the wait for one's turn.

Python's collector walks over all objects every now and then, while nothing else runs: 0.4 to 0.7 s in a server that has
loaded a model, in the middle of some part. What has outlived a long walk is left alone from then on (`gc.freeze`), so
that the next one walks over what is newer. Its memory is given back as ever once nobody refers to it; only what refers
to itself in a circle, and is thrown away after that, stays.

A thread that has waited for the disk or the database needs the interpreter again, which another one keeps for up to the
switch interval: 5 ms by default, at each of the twenty statements of a verdict.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LONG_S = 0.02
"""Some 50,000 objects. A walk that takes longer is worth sparing; after a shorter one nothing is lost to circles."""
SWITCH_S = 0.0005
"""A tenth of the usual: a switch takes some microseconds."""


@contextmanager
def kept_short(long_s: float = LONG_S) -> Iterator[None]:
    """For the life of a server's process; what is left alone is looked after again when it ends."""
    begun = 0.0

    def walked(phase: str, about: Mapping[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
        elif about["generation"] == 2 and time.perf_counter() - begun >= long_s:
            gc.freeze()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.callbacks.append(walked)
    try:
        yield
    finally:
        gc.callbacks.remove(walked)
        gc.unfreeze()
        sys.setswitchinterval(usual)
