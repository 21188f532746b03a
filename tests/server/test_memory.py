"""What was freed is the system's again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from server import memory

PAGE = os.sysconf("SC_PAGE_SIZE")


def held() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_what_was_freed_between_pieces_in_use_is_given_back():
    pieces = [np.ones(8192) for _ in range(3000)]  # 64 KiB each: from the heap
    kept = pieces[::50] + pieces[-1:]
    del pieces
    before = held()
    with memory.given_back(0.01):
        until = time.monotonic() + 30
        while held() > before - 120e6:
            assert time.monotonic() < until, f"{(before - held()) / 1e6:.0f} MB of 190 were given back"
            time.sleep(0.01)
    assert all(piece[0] == 1 for piece in kept)
